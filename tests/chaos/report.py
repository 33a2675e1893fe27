"""What a run says about itself, for people and for the table in the README."""

from collections.abc import Iterable

from tests.chaos.run import Outcome

HEAD = (
    "mode | brokers | events | kills | freezes | terms | broker faults | duplicates | lost | took",
    " | ".join(["---"] * 10),
)

KILLS, FREEZES = ("kill -9", "aimed kill -9"), ("freeze", "aimed freeze")


def details(outcome: Outcome) -> str:
    """Everything that happened, by kind, and what is wrong."""
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.happened.items()))
    answers = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.api_faults.items()) if count)
    lines = [
        f"faults: {faults}",
        f"spoiled answers: {answers}",
        f"restores: {outcome.takeovers}; workers that died by themselves: {len(outcome.unexplained)}",
        outcome.verdict.line(),
        *(f"PROBLEM: {problem}" for problem in outcome.problems),
    ]
    return "\n".join(lines)


def row(outcome: Outcome) -> str:
    """One row of the table."""
    verdict = outcome.verdict
    cells = (
        outcome.run.mode.name,
        outcome.brokers,
        verdict.expected,
        outcome.count(*KILLS),
        outcome.count(*FREEZES),
        outcome.count("SIGTERM"),
        outcome.count("broker"),
        verdict.duplicates,
        verdict.lost,
        f"{outcome.duration_s:.0f} s",
    )
    return " | ".join(map(str, cells))


def table(rows: Iterable[str]) -> str:
    """All rows, in Markdown."""
    return "\n".join(f"| {line} |" for line in (*HEAD, *rows))
