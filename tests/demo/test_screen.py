"""What is drawn of a view, in a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from collector.demo.screen import LineScreen, LiveScreen, line, picture, screen_for
from collector.demo.view import GroupView, OrganizationView, ProcessView, View

VIEW = View(
    phase="collecting",
    elapsed_s=75.4,
    duration_s=120.0,
    kills=4,
    events=12_345,
    duplicates=0,
    dead_letters=7,
    events_per_s=13.4,
    processes=[ProcessView("Kafka", "process 1", True, "127.0.0.1:9"), ProcessView("collector", "gone", False, "")],
    organizations=[OrganizationView("[bold]Acme", 240, 120, 30.0, 20, {"200": 1000, "500": 2}, 1)],
    groups=[
        GroupView("Acme", "Branch", 12_345, {"schema": 7}, 3.25, 9.0, 2.0, None, None),
        GroupView("Acme", "Parked", 0, {}, None, None, None, "403: no [red]access", None),
        GroupView("Acme", "Failing", 0, {}, None, None, 700.0, None, "500 " * 100),
    ],
    last_events=[{"date": "2026-08-01T12:00:00Z", "visitedSite": "[link=x]evil", "userSessionId": "id"}],
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_picture_shows_everything_and_takes_nothing_for_markup(width: int) -> None:
    """The picture can be drawn at any width; names and sites from outside appear as they are."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, record=True)
    console.print(picture(VIEW))
    text = console.export_text()
    assert "01:15 of 02:00" in text
    if width == 120:
        for part in (
            "12,345",
            "killed 4 times",
            "[bold]Acme",
            "120 of 240",
            "3.2 s",
            "403: no [red]access",
            "[link=x]evil",
        ):
            assert part in text


def test_line_is_one_line() -> None:
    """Without a terminal a view is one line that scripts can search."""
    assert line(VIEW) == (
        "01:15 of 02:00 collecting  events=12345 (13/s)  duplicates=0  dead_letters=7  kills=4  requests=1002  "
        "rate_limited=1  freshness_p50=3.2s"
    )


def test_lines_come_when_something_happens() -> None:
    """The same view again says nothing new; another phase or another kill does."""
    output = io.StringIO()
    with LineScreen(Console(file=output, width=20)) as screen:
        screen.show(View("starting Kafka"))
        screen.show(View("starting Kafka"))
        screen.show(View("starting [b]that"))
        screen.say("fetching")
    assert output.getvalue() == "starting Kafka\nstarting [b]that\nfetching\n"


def test_the_screen_fits_the_output() -> None:
    """A table that is drawn over itself is for terminals only."""
    assert isinstance(screen_for(Console(file=io.StringIO(), force_terminal=False)), LineScreen)
    terminal = io.StringIO()
    screen = screen_for(Console(file=terminal, force_terminal=True, width=100))
    assert isinstance(screen, LiveScreen)
    with screen:
        screen.show(VIEW)
        screen.say("fetching")
    assert "killed" in terminal.getvalue()
    assert "fetching" in terminal.getvalue()
