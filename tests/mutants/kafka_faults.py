"""Seeded mistakes of what is done when Kafka misbehaves."""

from tests.mutants.runner import Mistake

ISOLATION = "collector/core/isolation.py"
ISOLATED = "tests/organization/test_isolation.py"

FAULTS = (
    Mistake(
        "pages share transactions although one of them was refused",
        ISOLATION,
        "self._all_alone_until = MonoS(now + ALONE_S)",
        "self._all_alone_until = now",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "a page that was refused alone shares the next transaction",
        ISOLATION,
        "self._refused.add(owners[0])",
        "pass",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "the wrong account group is parked",
        ISOLATION,
        "if len(owners) > 1 or owners[0] is None:",
        "if owners[0] is None:",
        (f"{ISOLATED}::test_everybody_goes_alone_until_the_one_is_known",),
    ),
    Mistake(
        "whoever must go alone takes others along",
        "collector/shard.py",
        "            if alone:\n                break\n",
        "",
        ("tests/organization/test_group_commit.py::test_who_must_go_alone_goes_alone",),
    ),
    Mistake(
        "--once waits for what Kafka refuses",
        "collector/organization/loop.py",
        "set(self._aids) - self._refused.keys() if",
        "set(self._aids) if",
        (f"{ISOLATED}::test_once_ends_although_kafka_refuses_an_account_group",),
    ),
)
