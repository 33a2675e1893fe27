"""Draws views: a live table in a terminal, a line every few seconds anywhere else.

The one rule: it only draws. Nothing that came from outside is taken for markup.
"""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from collector.demo.view import GroupView, OrganizationView, ProcessView, View

_LINE_EVERY_S: Final = 5.0
_BAR_CELLS: Final = 24
_ERROR_CELLS: Final = 44
_SITE_CELLS: Final = 52


class Screen(Protocol):
    """Where the demonstration is shown."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """End; what was drawn last stays."""

    def show(self, view: View) -> None:
        """Draw a view."""

    def say(self, line: str) -> None:
        """Tell a person something that no view holds."""


def screen_for(console: Console) -> Screen:
    """The screen that fits where standard output goes."""
    return LiveScreen(console) if console.is_terminal else LineScreen(console)


class LiveScreen:
    """A table that is drawn over itself."""

    def __init__(self, console: Console) -> None:
        # Drawn when there is something new and not by a thread of its own, so that nothing is half of two moments.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Leave the last picture where it is."""
        self._live.stop()

    def show(self, view: View) -> None:
        """Draw a view over the one before."""
        self._live.update(picture(view), refresh=True)

    def say(self, line: str) -> None:
        """Write a line above the picture."""
        self._live.console.print(Text(line))


class LineScreen:
    """A line every few seconds, and one whenever something else happens than before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ("", 0)
        self._said_at = 0.0

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Nothing to end."""

    def show(self, view: View) -> None:
        """Write a line, unless the last one is young and says the same."""
        now = time.monotonic()
        if (view.phase, view.kills) != self._said or now - self._said_at >= _LINE_EVERY_S:
            self._said, self._said_at = (view.phase, view.kills), now
            self.say(line(view))

    def say(self, line: str) -> None:
        """Write a line."""
        self._console.print(Text(line), soft_wrap=True)


def line(view: View) -> str:
    """A view in one line."""
    if not view.processes:
        return view.phase
    parts = [
        f"{_clock(view)} {view.phase}",
        f"events={view.events} ({view.events_per_s:.0f}/s)",
        f"duplicates={view.duplicates}",
        f"dead_letters={view.dead_letters}",
        f"kills={view.kills}",
        f"requests={view.requests}",
        f"rate_limited={view.rate_limited}",
    ]
    if fresh := [group.freshness_p50_s for group in view.groups if group.freshness_p50_s is not None]:
        parts.append(f"freshness_p50={max(fresh):.1f}s")
    return "  ".join(parts)


def picture(view: View) -> RenderableType:
    """A view as a picture of about 100 by 30 cells."""
    parts: list[RenderableType] = [_title(view)]
    if view.processes:
        parts += [_counts(view), Text(), _processes(view.processes)]
    if view.organizations:
        parts.append(_organizations(view.organizations))
    if view.groups:
        parts.append(_groups(view.groups))
    if view.last_events:
        parts.append(_last_events(view.last_events))
    return Group(*parts)


def _title(view: View) -> Text:
    return Text.assemble(("te-collector demo", "bold"), f"   {_clock(view)}   ", (view.phase, "bold cyan"))


def _clock(view: View) -> str:
    elapsed = f"{int(view.elapsed_s) // 60:02d}:{int(view.elapsed_s) % 60:02d}"
    if view.duration_s is None:
        return f"{elapsed} (Ctrl-C ends it)"
    return f"{elapsed} of {int(view.duration_s) // 60:02d}:{int(view.duration_s) % 60:02d}"


def _counts(view: View) -> Text:
    def number(value: int, bad: bool) -> tuple[str, str]:
        return f"{value:,}", "bold red" if bad else "bold green"

    return Text.assemble(
        number(view.events, False),
        f" events read ({view.events_per_s:.0f}/s)   ",
        number(view.duplicates, view.duplicates > 0),
        " duplicates   ",
        (f"{view.dead_letters:,}", "bold yellow"),
        " dead letters   collector killed ",
        (f"{view.kills}", "bold magenta"),
        f" time{'' if view.kills == 1 else 's'} with kill -9",
    )


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=False, pad_edge=False, header_style="dim")
    for heading in headings:
        # A heading that begins with ">" stands over numbers.
        table.add_column(
            heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left", no_wrap=True
        )
    return table


def _processes(processes: Sequence[ProcessView]) -> Table:
    table = Table.grid(padding=(0, 2))
    for process in processes:
        colour = "green" if process.is_well else "red"
        table.add_row(Text("●", colour), Text(process.name), Text(process.state, colour), Text(process.detail, "dim"))
    return table


def _organizations(organizations: Sequence[OrganizationView]) -> Table:
    table = _table("organization", "quota of this minute", ">left", ">reset in", ">others", "answers by status", ">429")
    for one in organizations:
        table.add_row(
            Text(one.name),
            _bar(one),
            Text(f"{one.remaining} of {one.limit}"),
            Text(f"{one.reset_in_s:.0f} s"),
            Text(f"{one.by_others}"),
            Text("  ".join(f"{status}: {count:,}" for status, count in sorted(one.by_status.items()))),
            Text(f"{one.rate_limited}", "red" if one.rate_limited else "green"),
        )
    return table


def _bar(organization: OrganizationView) -> Text:
    limit = max(1, organization.limit)
    others = min(_BAR_CELLS, round(_BAR_CELLS * organization.by_others / limit))
    used = min(_BAR_CELLS, round(_BAR_CELLS * (limit - organization.remaining) / limit))
    ours = max(0, used - others)
    free = _BAR_CELLS - ours - others
    return Text.assemble(("█" * ours, "cyan"), ("█" * others, "magenta"), ("░" * free, "dim"))


def _groups(groups: Sequence[GroupView]) -> Table:
    table = _table("account group", ">events", ">dead letters", ">fresh p50", ">p99", ">behind", "state")
    for group in groups:
        table.add_row(
            Text(f"{group.organization} / {group.name}"),
            Text(f"{group.events:,}"),
            Text(f"{sum(group.dead_letters.values())}"),
            Text(_seconds(group.freshness_p50_s)),
            Text(_seconds(group.freshness_p99_s)),
            Text(_seconds(group.behind_s)),
            _state(group),
        )
    return table


def _state(group: GroupView) -> Text:
    if group.parked is not None:
        return Text(_cut(f"parked: {group.parked}", _ERROR_CELLS), "red")
    if group.last_error is not None:
        return Text(_cut(f"trying again: {group.last_error}", _ERROR_CELLS), "yellow")
    return Text("collecting", "green")


def _last_events(events: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("last events", "site", ">score", "userSessionId")
    for event in reversed(events):
        score = event.get("experienceScore")
        table.add_row(
            Text(str(event.get("date"))),
            Text(_cut(str(event.get("visitedSite")), _SITE_CELLS)),
            Text("-" if score is None else f"{score:.2f}" if isinstance(score, float) else str(score)),
            Text(str(event.get("userSessionId")), "dim"),
        )
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _cut(text: str, cells: int) -> str:
    return text if len(text) <= cells else text[: cells - 1] + "…"
