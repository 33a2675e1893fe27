"""The freshness benchmark as a table and as a picture. Plain SVG: a plot is a dozen lines, a library is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.freshness.driver import BIN_S, Delays


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what ran, its delays in seconds, and what came of it."""

    name: str
    mean_s: float
    p50_s: float | None = None
    p99_s: float | None = None
    requests_per_min: float | None = None
    rejected: int | None = None


def table(title: str, rows: Sequence[Row], best_s: float) -> str:
    """The table of one scenario; the last column compares with the optimum."""
    lines = [title, f"  {'':22} {'mean s':>8} {'p50 s':>8} {'p99 s':>8} {'req/min':>8} {'429':>5} {'/ optimum':>10}"]
    for row in rows:
        cells = (
            f"{row.mean_s:8.2f}",
            f"{'' if row.p50_s is None else format(row.p50_s, '.1f'):>8}",
            f"{'' if row.p99_s is None else format(row.p99_s, '.1f'):>8}",
            f"{'' if row.requests_per_min is None else format(row.requests_per_min, '.1f'):>8}",
            f"{'' if row.rejected is None else row.rejected:>5}",
            f"{row.mean_s / best_s:10.3f}",
        )
        lines.append(f"  {row.name:22} {' '.join(cells)}")
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, TOP, GAP = 420, 250, 52, 46, 90
COLOURS = {"polling all alike": "#b3541e", "te-collector": "#1f6feb", "optimum": "#3d8f4f"}


def picture(heading: str, hourly: dict[str, Sequence[float]], spread: dict[str, Delays]) -> str:
    """Two plots: the mean delay of every hour, and which part of the sessions waited for at most how long."""
    hours = max(len(values) for values in hourly.values())
    highest = 1.1 * max(max(values) for values in hourly.values())
    left = {name: [(h / (hours - 1), v / highest) for h, v in enumerate(values)] for name, values in hourly.items()}
    longest = max(delays.percentile_s(0.999) for delays in spread.values())
    right = {name: _cumulative(delays, longest) for name, delays in spread.items()}
    width = 2 * (LEFT + WIDTH) + GAP
    steps = _steps(highest)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + TOP + 62}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#444">',
        f'<rect width="{width}" height="{HEIGHT + TOP + 62}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" fill="#111">{escape(heading)}</text>',
        *_plot(LEFT, left, "hour", "mean delay, s", [(v / highest, f"{v:g}") for v in steps],
               [(h / (hours - 1), str(h)) for h in range(0, hours, max(1, hours // 6))]),
        *_plot(2 * LEFT + WIDTH + GAP / 2, right, "delay, s", "part of the sessions",
               [(part, f"{part:.0%}") for part in (0.25, 0.5, 0.75, 1.0)],
               [(v / longest, f"{v:g}") for v in _steps(longest)]),
    ]  # fmt: skip
    for number, name in enumerate(COLOURS):
        x, y = LEFT + number * 150, HEIGHT + TOP + 50
        parts.append(f'<path d="M{x} {y - 4}h22" stroke="{COLOURS[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _cumulative(delays: Delays, longest_s: float) -> list[tuple[float, float]]:
    points, passed = [(0.0, 0.0)], 0
    for place in sorted(delays.counts):
        passed += delays.counts[place]
        at = (place + 1) * BIN_S
        if at > longest_s:
            break
        if at / longest_s - points[-1][0] > 0.004:
            points.append((at / longest_s, passed / delays.sessions))
    return points


def _steps(highest: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10(highest / 2))
    step *= next(times for times in (1, 2, 5, 10) if highest / (step * times) <= 6)
    return [step * number for number in range(1, int(highest / step) + 1)]


def _plot(
    x: float,
    lines: dict[str, list[tuple[float, float]]],
    below: str,
    beside: str,
    up: list[tuple[float, str]],
    along: list[tuple[float, str]],
) -> list[str]:
    """One plot with its axes; all points lie between 0 and 1."""
    bottom = TOP + HEIGHT
    parts = [f'<text x="{x}" y="{TOP - 8}">{escape(beside)}</text>']
    parts.append(f'<text x="{x + WIDTH}" y="{bottom + 30}" text-anchor="end">{escape(below)}</text>')
    for place, label in up:
        y = bottom - place * HEIGHT
        parts.append(f'<path d="M{x} {y:.1f}h{WIDTH}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for place, label in along:
        parts.append(f'<text x="{x + place * WIDTH:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    parts.append(f'<path d="M{x} {TOP}V{bottom}h{WIDTH}" fill="none" stroke="#888"/>')
    for name, points in lines.items():
        path = " ".join(f"{x + px * WIDTH:.1f},{bottom - py * HEIGHT:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
    return parts
