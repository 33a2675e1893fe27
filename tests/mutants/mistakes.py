"""The list of seeded mistakes, by layer. Each was made in the field or nearly made here.

Add one whenever a promise gets a test: the line that keeps it, and the line that breaks it.
"""

from pathlib import Path

import orjson

from tests.mutants.isolation import NEIGHBOURS
from tests.mutants.kafka_faults import FAULTS
from tests.mutants.memory import MEMORY
from tests.mutants.runner import Mistake
from tests.mutants.workers import WORKERS

# ruff: noqa: E501 - a line that is right and the one that breaks it stand as they are

SINK = "collector/kafka/sink.py"
READER = "collector/kafka/reader.py"
SETTINGS = "collector/kafka/settings.py"

KAFKA = (
    Mistake(
        "commit although an acknowledgement failed",
        SINK,
        "acknowledgements = await asyncio.gather(*sent)",
        "acknowledgements = await asyncio.gather(*sent, return_exceptions=True)",
        ("tests/kafka/test_sink.py::test_rejected_record_leaves_nothing_of_its_transaction",),
    ),
    Mistake(
        "no fencing: a transactional id of its own for every process",
        SETTINGS,
        'return f"{self.state_topic}.{shard}"',
        'import uuid; return f"{self.state_topic}.{shard}.{uuid.uuid4().hex}"',
        ("tests/kafka/test_sink.py::test_second_owner_fences_the_first",),
    ),
    Mistake(
        "no barrier: any barrier record ends the restore",
        READER,
        "self.complete = self.complete or value == self.barrier.value",
        "self.complete = True",
        ("tests/kafka/test_restore.py::test_another_value_at_the_barrier_is_not_ours",),
    ),
    Mistake(
        "position alone ends the restore",
        READER,
        "if not self.complete and position > self.barrier.offset:",
        "self.complete = self.complete or position > self.barrier.offset\n        if not self.complete:",
        ("tests/kafka/test_restore.py::test_reader_that_misses_the_barrier_is_detected",),
    ),
    Mistake(
        "a newer owner's records are taken for ours",
        READER,
        "if record.offset > self.barrier.offset:",
        "if False:",
        ("tests/kafka/test_restore.py::test_newer_barrier_means_fenced",),
    ),
    Mistake(
        "tombstones do not delete",
        READER,
        "state.pop(self._text(key, record.offset), None)",
        "pass",
        ("tests/kafka/test_sink.py::test_restore_equals_model",),
    ),
    Mistake(
        "the restore reads what was never committed",
        "collector/kafka/committed_reader.py",
        'isolation_level="read_committed"',
        'isolation_level="read_uncommitted"',
        ("tests/kafka/test_sink.py::test_aborted_transaction_of_a_stopped_owner_is_not_restored",),
    ),
    Mistake(
        "a sink goes on after a failed transaction",
        SINK,
        "            self._phase = _Phase.FAILED\n            raise\n        self._phase = _Phase.READY\n        self._records",
        "            self._phase = _Phase.READY\n            raise\n        self._phase = _Phase.READY\n        self._records",
        (
            "tests/kafka/test_sink.py::test_cancelled_commit_is_an_unknown_outcome",
            "tests/kafka/test_sink.py::test_fenced_between_send_and_commit",
            "tests/kafka/test_sink.py::test_second_owner_fences_the_first",
        ),
    ),
    Mistake(
        "stock aiokafka reads the state",
        "collector/kafka/committed_reader.py",
        "    prepare_reader()\n",
        "",
        ("tests/kafka/test_restore.py::test_empty_control_batches_do_not_stop_the_restore",),
    ),
    Mistake(
        "the state topic may forget",
        "collector/kafka/topic_rules.py",
        'policies != {"compact"}',
        '"compact" not in policies',
        ("tests/kafka/test_topics.py::test_unsafe_topic_is_refused",),
    ),
    Mistake(
        "partitions unlike the Java client's",
        "collector/kafka/batches.py",
        "MURMUR2_SEED = 0x9747B28C",
        "MURMUR2_SEED = 0x9747B28D",
        ("tests/kafka/test_batches.py::test_partition_is_that_of_the_java_client",),
    ),
)

BUDGET = "collector/core/budget.py"
QUOTA_WINDOW = "collector/core/quota_window.py"
SEEN = "collector/core/seen.py"
PROGRESS = "collector/core/progress.py"
LOOP = "collector/organization/loop.py"
WALKER = "collector/organization/walker.py"
LEDGER = "collector/core/ledger.py"

CORE = (
    Mistake(
        "local clock for the reset",
        "collector/organization/gate.py",
        "self.server_clock.observe(answer.date, now)\n"
        "            date = answer.date if answer.date is not None else self.server_clock.now(now)",
        "self.server_clock.observe(answer.date, now)\n            date = self._clock.wall()",
        ("tests/organization/test_quota.py::test_the_local_clock_moves_no_request",),
    ),
    Mistake(
        "requests in flight are not subtracted from the quota",
        QUOTA_WINDOW,
        "return self.spent + len(self.on_way) + self._lost_since",
        "return self.spent + self._lost_since",
        ("tests/core/test_budget.py::test_what_is_on_its_way_or_lost_is_spent",),
    ),
    Mistake(
        "nothing is left to others",
        BUDGET,
        "limit is None else limit) * self._share + 1e-9)",
        "limit is None else limit) + 1e-9)",
        (
            "tests/organization/test_quota.py::test_others_get_what_they_take",
            "tests/core/test_budget_machine.py::TestBudget",
        ),
    ),
    Mistake(
        "others' part is kept for them after they spent it",
        BUDGET,
        "min(self._share_of(window.limit) - window.ours, self._room(now))",
        "self._room(now) - (window.limit - self._share_of(window.limit))",
        ("tests/core/test_budget_hours.py::test_the_allowed_share_is_used",),
    ),
    Mistake(
        "a new process begins the share anew",
        QUOTA_WINDOW,
        "self._ours, self._all_ours_since = max(self._ours, spent), None",
        "self._all_ours_since = None",
        (
            "tests/core/test_budget.py::test_what_was_spent_before_the_first_answer_counts_as_ours",
            "tests/core/test_budget_hours.py::test_restarts_do_not_add_up",
            "tests/core/test_budget_machine.py::TestBudget",
        ),
    ),
    Mistake(
        "a worker that has an organization again trusts its own count",
        LOOP,
        "        self._gate.budget.taken_over(self._clock.monotonic())",
        "        self._clock.monotonic()",
        ("tests/organization/test_quota.py::test_what_another_worker_spent_counts_as_ours",),
    ),
    Mistake(
        "the last request of a window goes to others or to us, whoever is first",
        "collector/core/tenants.py",
        "return min(self._sudden(limit) + by_chance(mean), self._still_to_come(limit, spent))",
        "return 0",
        ("tests/core/test_budget_hours.py::test_the_allowed_share_is_used",),
    ),
    Mistake(
        "an old answer is as good as a new one",
        BUDGET,
        "(now - self._window.known_at + self._round_trip_s() / 2)",
        "self._round_trip_s()",
        (
            "tests/core/test_budget.py::test_the_last_of_a_window_leave_one_after_the_others_answer",
            "tests/core/test_budget_hours.py::test_a_small_limit",
        ),
    ),
    Mistake(
        "the last requests of a window wait for their turn until what is known is too old for them",
        BUDGET,
        "min(self._paced(now, pace_s), reset_at, self._taken_at())",
        "min(self._paced(now, pace_s), reset_at)",
        ("tests/core/test_budget_hours.py::test_a_small_limit",),
    ),
    Mistake(
        "others leave less than the share, and the last answers come after the reset",
        BUDGET,
        "CLOSING_MAX_S) if by_room < by_share else 0.0",
        "CLOSING_MAX_S) if self._failures else 0.0",
        ("tests/core/test_budget.py::test_in_mid_window_requests_leave_evenly_whatever_others_do",),
    ),
    Mistake(
        "everybody waits for a probe at every turn of the window",
        BUDGET,
        "trusted = self._had_room(now) and now < reset_at + TURN_TRUSTED_S",
        "trusted = False",
        (
            "tests/core/test_budget.py::test_a_window_that_had_room_is_followed_without_waiting_for_a_probe",
            "tests/core/test_budget_hours.py::test_a_window_turns_without_a_pause",
        ),
    ),
    Mistake(
        "a 5xx ends the wait for the reset",
        BUDGET,
        "quiet_until = max(self._hold_until, self._backoff_until)",
        "quiet_until = self._backoff_until if self._failures else self._hold_until",
        ("tests/core/test_budget.py::test_a_429_without_reset_holds_a_window",),
    ),
    Mistake(
        "everybody probes at once",
        BUDGET,
        "if self.in_flight and (self._failures or self.limit is None):",
        "if self.in_flight and self._failures:",
        ("tests/core/test_budget.py::test_the_first_answer_is_waited_for",),
    ),
    Mistake(
        "memory moves before the commit",
        WALKER,
        "            if collected.records or changes:\n"
        "                await publish(Publication(collected.records, changes, Owner(self._settings.name, walk.aid)))\n"
        "            group.seen.apply(writes, expiry)\n            group.progress.apply(advance)\n",
        "            group.seen.apply(writes, expiry)\n            group.progress.apply(advance)\n"
        "            if collected.records or changes:\n"
        "                await publish(Publication(collected.records, changes, Owner(self._settings.name, walk.aid)))\n"
        "            writes = group.seen.write(collected.marks)\n",
        ("tests/organization/test_memory_after_commit.py::test_memory_moves_after_the_commit",),
    ),
    Mistake(
        "seen ids are not durable",
        WALKER,
        "changes = (*advance.changes, *writes.changes, *expiry.changes)",
        "changes = (*advance.changes, *expiry.changes)",
        (
            "tests/organization/test_exactly_once.py::test_publications_that_fail_with_unknown_outcome",
            "tests/organization/test_exactly_once.py::test_processes_that_die_and_stop",
        ),
    ),
    Mistake(
        "progress is durable before its events",
        WALKER,
        "                await publish(Publication(collected.records, changes, Owner(self._settings.name, walk.aid)))",
        "                await publish(Publication([], changes))\n"
        "                await publish(Publication(collected.records, ()))",
        (
            "tests/organization/test_exactly_once.py::test_publications_that_fail_with_unknown_outcome",
            "tests/organization/test_exactly_once.py::test_processes_that_die_and_stop",
        ),
    ),
    Mistake(
        "a failed publication is sent again by hand",
        "collector/group_commit.py",
        "                await self._sink.publish(Publication(records, changes))",
        "                try:\n                    await self._sink.publish(Publication(records, changes))\n"
        "                except PublishFailed:\n                    self._sink.phase = 'ready'\n"
        "                    await self._sink.publish(Publication(records, changes))",
        ("tests/organization/test_exactly_once.py::test_publications_that_fail_with_unknown_outcome",),
    ),
    Mistake(
        "a failed publication is swallowed",
        "collector/group_commit.py",
        "                await self._sink.publish(Publication(records, changes))",
        "                try:\n                    await self._sink.publish(Publication(records, changes))\n"
        "                except PublishFailed:\n                    pass",
        (
            "tests/organization/test_exactly_once.py::test_publications_that_fail_with_unknown_outcome",
            "tests/organization/test_group_commit.py::test_a_failed_transaction_is_told_to_nobody",
        ),
    ),
    Mistake(
        "the memory survives a failure",
        "collector/organization/memory.py",
        "self._groups, self._not_restored = {}, {}",
        "self._not_restored = {}",
        ("tests/organization/test_exactly_once.py::test_publications_that_fail_with_unknown_outcome",),
    ),
    Mistake(
        "no overlap: windows begin where the last one ended",
        LEDGER,
        "settled_end = min(until, int(started_at) - self.overlap_s)",
        "settled_end = until",
        ("tests/core/test_ledger.py::test_one_walk_after_the_other_is_one_range",),
    ),
    Mistake(
        "ids are dropped while a window can still show them",
        PROGRESS,
        "hour_of(keep_from - KEEP_MARGIN_S)",
        "hour_of(int(now) + 3600)",
        ("tests/core/test_progress_machine.py::TestProgress",),
    ),
    Mistake(
        "two lanes decide about a session at the same time",
        WALKER,
        "        async with group.lock, nullcontext()",
        "        async with nullcontext()",
        ("tests/organization/test_lanes.py::test_two_lanes_never_publish_a_session_twice",),
    ),
    Mistake(
        "sweeps look back a fixed time, whatever was not walked late enough",
        "collector/core/windows.py",
        "oldest = max(ledger.final_until, _first(ledger))",
        "oldest = max(int(now) - 86_400, _first(ledger))",
        ("tests/organization/test_lanes.py::test_the_horizon_is_kept_across_an_outage",),
    ),
    Mistake(
        "an outage holds the newest sessions up",
        PROGRESS,
        "jump_s = max(JUMP_MIN_S, self._slices[Lane.CATCH_UP].span_s)",
        "jump_s = 10**9",
        ("tests/organization/test_lanes.py::test_hot_stays_fresh_while_an_outage_is_caught_up",),
    ),
    Mistake(
        "what hot leaves behind is forgotten",
        "collector/core/windows.py",
        "[*ledger.unwalked(hot_from), *unsettled]",
        "unsettled[:0]",
        ("tests/core/test_progress_machine.py::TestProgress",),
    ),
    Mistake(
        "what the API does not keep any more is lost in silence",
        LEDGER,
        "for a, b in self.unwalked(edge))",
        "for a, b in ())",
        (
            "tests/core/test_progress_machine.py::TestProgress",
            "tests/organization/test_lanes.py::test_what_the_api_does_not_keep_any_more_is_lost_loudly_once",
        ),
    ),
    Mistake(
        "every page is taken for ordered",
        "collector/core/walk.py",
        "                self._in_order = False\n                return",
        "                pass",
        ("tests/core/test_walk.py::test_other_rows_prove_nothing",),
    ),
    Mistake(
        "rows that come as they were committed are taken for ordered by time",
        "collector/core/walk.py",
        "if self._last_commit and not self._commits_go_back:",
        "if False:",
        ("tests/core/test_walk.py::test_rows_that_may_come_by_commit_prove_nothing",),
    ),
    Mistake(
        "commits that go back from page to page are overlooked",
        "collector/core/walk.py",
        "not commits.in_order or commits.first < self._last_commit",
        "not commits.in_order",
        ("tests/core/test_walk.py::test_a_row_committed_before_one_in_front_of_it_shows_the_order",),
    ),
    Mistake(
        "what half a walk has shown is final",
        LEDGER,
        "        if finished:  # never sooner",
        "        if True:  # never sooner",
        ("tests/core/test_ledger.py::test_nothing_is_final_before_its_walk_has_ended",),
    ),
    Mistake(
        "up to an hour that the API has forgotten counts as walked",
        PROGRESS,
        "gone_until if self.ledger.unwalked(gone_until) else hour_of(edge)",
        "hour_of(edge)",
        ("tests/core/test_progress.py::test_a_gap_is_lost_to_the_minute",),
    ),
    Mistake(
        "one request more than the share fits into a minute without news",
        BUDGET,
        "max(fits_at, self._paced(now, self._even_pace_s()))",
        "self._paced(now, self._even_pace_s())",
        ("tests/core/test_budget.py::test_answers_without_quota_keep_to_the_share_in_any_minute",),
    ),
    Mistake(
        "a circle of next links is walked for ever",
        "collector/core/walk.py",
        "        if fingerprint in self._followed:",
        "        if False:",
        (
            "tests/core/test_walk.py::test_every_walk_ends",
            "tests/organization/test_answers.py::test_next_links_in_a_circle_do_not_hold_anyone_up",
        ),
    ),
    Mistake(
        "a dead letter is repeated by the overlap",
        "collector/core/collect.py",
        "if value in taken or seen.has_digest(value):",
        "if value in taken:",
        ("tests/core/test_collect.py::test_a_bad_row_is_a_dead_letter_once",),
    ),
    Mistake(
        "one 401 does not stop the organization",
        "collector/organization/gate.py",
        "CLOSING = (Rejection.UNAUTHORIZED, Rejection.VERSION_GONE)",
        "CLOSING = (Rejection.VERSION_GONE,)",
        ("tests/organization/test_answers.py::test_the_whole_organization_stops",),
    ),
    Mistake(
        "one wild clock moves the windows",
        "collector/core/server_clock.py",
        "        if agrees or (",
        "        if True or (",
        ("tests/core/test_server_clock.py::test_one_wild_date_moves_nothing",),
    ),
)

SOURCE = (
    Mistake(
        "a next link may lead to another host",
        "collector/sources/thousandeyes/address.py",
        "if origin != self.origin:",
        "if False:",
        ("tests/sources/test_next_links.py::test_links_elsewhere_are_not_followed",),
    ),
)


A_DAY = ("tests/simulation/test_simulation.py::test_a_day_of_faults",)

SIMULATION = (
    Mistake(
        "only the first owner restores",
        "collector/shard.py",
        "                organization.restore(state)",
        "                organization.restore(state if self._commits == 0 else {})",
        A_DAY,
    ),
    Mistake(
        "progress is restored, and the ids are not",
        "collector/organization/memory.py",
        "                seen.restore(chunk_key, value)",
        "                break",
        A_DAY,
    ),
    Mistake(
        "ids and progress follow their events in a transaction of their own",
        WALKER,
        "                await publish(Publication(collected.records, changes, Owner(self._settings.name, walk.aid)))",
        "                owner = Owner(self._settings.name, walk.aid)\n"
        "                await publish(Publication(collected.records, (), owner))\n"
        "                await publish(Publication([], changes, owner))",
        A_DAY,
    ),
    Mistake(
        "a chunk of ids that goes on forgets its begin",
        SEEN,
        "chunks.append(_ChunkWrite(hour, count - 1, opened + value))",
        "chunks.append(_ChunkWrite(hour, count - 1, value))",
        A_DAY,
    ),
    Mistake(
        "the simulated broker fences nobody",
        "tests/simulation/cluster.py",
        "        if owned.epoch != epoch:",
        "        if False:",
        (*A_DAY, "tests/contracts/test_sink_contract.py::test_a_newer_owner_fences_the_older"),
    ),
    Mistake(
        "the simulated broker commits what was never decided",
        "tests/simulation/cluster.py",
        "        owned.epoch += 1\n        owned.open = None\n        self.opened += 1",
        "        owned.epoch += 1\n        if owned.open is not None:\n            self._apply(shard, owned.open)\n"
        "        self.opened += 1",
        ("tests/contracts/test_sink_contract.py::test_what_was_sent_and_never_decided_is_gone",),
    ),
    Mistake(
        "a killed process of the simulation still writes",
        "tests/simulation/process.py",
        "        if not self.alive:\n            raise Killed(self.name)",
        "        pass",
        ("tests/simulation/test_simulation.py::test_what_a_killed_process_does_has_no_effect",),
    ),
)


def _lines() -> tuple[Mistake, ...]:
    """Many small ones: a line of the core or the loop each, named by what stands there instead."""
    entries = orjson.loads((Path(__file__).parent / "lines.json").read_bytes())
    return tuple(
        Mistake(
            f"{number:03} {Path(entry['file']).stem}: {' '.join(entry['new'].split())[:60] or 'left out'}",
            entry["file"],
            entry["old"],
            entry["new"],
            (entry["caught_by"],),
        )
        for number, entry in enumerate(entries, 1)
    )


LINES = _lines()
MISTAKES = KAFKA + FAULTS + WORKERS + NEIGHBOURS + MEMORY + CORE + SOURCE + SIMULATION + LINES
