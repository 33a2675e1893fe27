"""Seeded mistakes in what workers share: who runs what, and what changes while it runs."""

from tests.mutants.runner import Mistake

SHARD = "collector/shard.py"
OWNERSHIP = "collector/service/ownership.py"
RELOAD = "collector/service/reload.py"
CHANGES = "tests/organization/test_changes.py"
KEEPER = "tests/service/test_ownership.py"

WORKERS = (
    Mistake(
        "a successor does not know what was published",
        "collector/organization/loop.py",
        "self._memory = self._walker.memory = predecessor._memory",
        "pass",
        (f"{CHANGES}::test_a_changed_one_goes_on_where_it_was",),
    ),
    Mistake(
        "a successor takes a memory of another form",
        SHARD,
        "if failure is not None or not successor.succeeds(organization):",
        "if failure is not None:",
        (f"{CHANGES}::test_one_that_remembers_in_another_form_is_restored",),
    ),
    Mistake(
        "an organization that comes back begins with nothing",
        SHARD,
        "self._only_durable.add(name)",
        "pass",
        (f"{CHANGES}::test_one_that_comes_back_knows_what_was_published",),
    ),
    Mistake(
        "state of organizations that were not configured is not noticed",
        SHARD,
        "self._only_durable = organizations_in(state) - {each.settings.name for each in self.organizations}",
        "self._only_durable = set()",
        (f"{CHANGES}::test_one_that_another_worker_collected_is_restored",),
    ),
    Mistake(
        "a removed organization is collected on",
        SHARD,
        "            self._retired.append(organization)\n            organization.drain()",
        "            self._retired.append(organization)",
        (f"{CHANGES}::test_a_removed_one_ends_and_the_others_go_on",),
    ),
    Mistake(
        "two workers that both believe fence each other at every commit",
        SHARD,
        "and not is_quarrel else failures + 1",
        "else failures + 1",
        ("tests/organization/test_quarrel.py::test_two_that_believe_for_good_do_not_fence_each_other_on_and_on",),
    ),
    Mistake(
        "a lost shard runs on",
        OWNERSHIP,
        "                kept.shard.drain()\n                kept.scope.deadline",
        "                kept.scope.deadline",
        (f"{KEEPER}::test_what_is_lost_ends_and_what_stays_is_not_disturbed",),
    ),
    Mistake(
        "a lost shard has all the time it wants",
        OWNERSHIP,
        "kept.scope.deadline = anyio.current_time() + LOST_DRAIN_S",
        "pass",
        (f"{KEEPER}::test_what_does_not_end_in_time_is_cut_off",),
    ),
    Mistake(
        "shards without organizations open a producer",
        OWNERSHIP,
        "wanted = self._ours & self._factory.organizations_by_shard().keys()",
        "wanted = self._ours",
        (f"{KEEPER}::test_what_is_ours_and_holds_anything_runs",),
    ),
    Mistake(
        "a standby is never ready",
        "collector/telemetry/status.py",
        "if shard.assigned and not shard.owned]",
        "if not shard.owned]",
        (f"{KEEPER}::test_readiness_is_of_what_is_ours",),
    ),
    Mistake(
        "a file is taken while it is being written",
        RELOAD,
        "if content == before and (again",
        "if (again",
        ("tests/service/test_reload.py::test_a_file_that_is_being_written_is_not_taken_half",),
    ),
    Mistake(
        "what was refused is never tried again",
        RELOAD,
        "again = self._refused is not None and",
        "again = False and",
        ("tests/service/test_reload.py::test_what_was_refused_is_tried_again",),
    ),
    Mistake(
        "a planned stop under a made-up name lets the others wait",
        "collector/kafka/membership.py",
        "for_good or self._settings.instance_is_automatic if instance_id",
        "for_good if instance_id",
        ("tests/workers/test_instance.py::test_a_planned_stop_under_a_made_up_name_leaves_at_once",),
    ),
    Mistake(
        "a worker that hears nothing counts itself in",
        "collector/kafka/tenure.py",
        "return self._is_settled and now_s < self.expires_s",
        "return self._is_settled",
        ("tests/workers/test_cut_off.py::test_a_worker_that_is_cut_off_is_replaced_and_comes_back",),
    ),
    Mistake(
        "what comes back while a producer closes is reported again and again",
        "collector/kafka/closing.py",
        "a network that is there again.\n        _see_inner_exceptions(producer)\n",
        "a network that is there again.\n        pass\n",
        ("tests/kafka/test_closing.py::test_what_comes_back_while_a_producer_closes_is_seen",),
    ),
    Mistake(
        "profiles do not reach the others",
        "collector/kafka/profiles.py",
        "ConsumerProtocolMemberAssignment(given.version, given.assignment, told)",
        'ConsumerProtocolMemberAssignment(given.version, given.assignment, b"")',
        ("tests/kafka/test_profiles.py::test_everybody_hears_everybody",),
    ),
)
