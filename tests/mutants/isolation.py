"""Seeded mistakes about neighbours: what one organization, or one shard, must not do to another; and the watchdog."""

from tests.mutants.runner import Mistake

SHARD = "collector/shard.py"
GROUP_COMMIT = "collector/group_commit.py"
NEIGHBOUR_TESTS = "tests/organization/test_neighbours.py"

NEIGHBOURS = (
    Mistake(
        "an organization that failed goes on with the memory it had",
        SHARD,
        "        organization.restore(await commit.read_again())",
        "        await commit.read_again()",
        (f"{NEIGHBOUR_TESTS}::test_one_that_fails_again_and_again_loses_and_repeats_nothing",),
    ),
    Mistake(
        "the state is read before what was handed in is committed",
        GROUP_COMMIT,
        "        waiting = _Waiting(None)\n        self._waiting.append(waiting)",
        "        waiting = _Waiting(None)\n        self._waiting.insert(0, waiting)",
        ("tests/organization/test_group_commit.py::test_the_state_is_read_behind_all_that_was_handed_in",),
    ),
    Mistake(
        "a failure of one organization is the whole shard's",
        SHARD,
        "            if isinstance(cause, PublishFailed):\n                raise  #",
        "            if True:\n                raise  #",
        (f"{NEIGHBOUR_TESTS}::test_trouble_of_one_is_not_the_others",),
    ),
    Mistake(
        "one that cannot be collected ends the others of a single run",
        SHARD,
        "            if until_caught_up:\n                return False",
        "            if until_caught_up:\n                raise failure",
        (f"{NEIGHBOUR_TESTS}::test_once_collects_the_others_before_it_ends",),
    ),
    Mistake(
        "nobody looks for organizations that hang",
        SHARD,
        "                    watching.start_soon(self._watch)\n",
        "",
        (f"{NEIGHBOUR_TESTS}::test_the_watchdog_starts_a_hanging_organization_over",),
    ),
    Mistake(
        "a sink that ignores its deadlines is waited for",
        GROUP_COMMIT,
        "    with anyio.move_on_after(deadline_s + GRACE_S, shield=True) as scope:",
        "    with anyio.CancelScope(shield=True) as scope:",
        (f"{NEIGHBOUR_TESTS}::test_the_watchdog_gives_up_a_sink_that_never_comes_back",),
    ),
    Mistake(
        "a stop waits for the rest of an organization",
        "collector/organization/loop.py",
        "            await self._gate.pause(duration_s)\n",
        "            await anyio.sleep(duration_s)\n",
        (f"{NEIGHBOUR_TESTS}::test_one_that_rests_ends_at_once_when_everything_does",),
    ),
    Mistake(
        "a process that was frozen starts everybody over",
        "collector/core/watchdog.py",
        "            if late_s > LOOK_EVERY_S:",
        "            if False:",
        ("tests/core/test_watchdog.py::test_a_pause_of_everybody_is_nobodys_stall",),
    ),
    Mistake(
        "the watchdog names another than the longest",
        "collector/core/watchdog.py",
        "and (worst is None or beyond_s > worst.waited_s - worst.may_last_s)",
        "",
        ("tests/core/test_watchdog.py::test_only_who_is_beyond_its_own_limit_is_found",),
    ),
    Mistake(
        "an organization that fails at once starts over as often as it can",
        "collector/core/restarts.py",
        "else self.in_a_row + 1",
        "else 1",
        ("tests/core/test_watchdog.py::test_rests_grow_up_to_a_bound",),
    ),
    Mistake(
        "a shard that only an operator can mend ends the others",
        "collector/service/ownership.py",
        "        if self._refused.keys() >= self._kept.keys():",
        "        if True:",
        ("tests/service/test_refused_shards.py::test_the_others_go_on_and_it_is_tried_again",),
    ),
    Mistake(
        "nothing is left to do and the process stays",
        "collector/service/ownership.py",
        "        if self._refused.keys() >= self._kept.keys():",
        "        if False:",
        ("tests/service/test_refused_shards.py::test_it_ends_when_nothing_else_is_left",),
    ),
    Mistake(
        "a page may have as many rows as it likes",
        "collector/organization/walker.py",
        "        if len(page.rows) > PAGE_ROWS_MAX:",
        "        if False:",
        (f"{NEIGHBOUR_TESTS}::test_a_page_of_too_many_rows_is_no_page",),
    ),
    Mistake(
        "a row that is nested too deeply ends its organization",
        "collector/sources/thousandeyes/json_page.py",
        "    except RecursionError:\n",
        "    except ZeroDivisionError:\n",
        ("tests/workers/test_poison.py::test_poison_of_one_is_not_felt_by_the_other",),
    ),
    Mistake(
        "large bodies are read in the event loop",
        "collector/sources/thousandeyes/requester.py",
        "        if len(body) < LARGE_BODY_BYTES:\n            return read(body)",
        "        if True:\n            return read(body)",
        ("tests/sources/test_bodies.py::test_a_large_body_holds_up_nobody_else",),
    ),
    Mistake(
        "what the credentials are is looked at after they were corrected",
        "collector/organization/gate.py",
        "                    self._closed_fingerprint = await self._fingerprint()\n",
        "                    await self._fingerprint()\n",
        ("tests/organization/test_answers.py::test_credentials_that_change_right_after_the_refusal_count",),
    ),
)
