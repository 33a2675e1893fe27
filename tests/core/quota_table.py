"""``python -m tests.core.quota_table``: how much of the allowed share is used, and how many answers 429 it costs.

Two hours of virtual time a line, with the real budget and the quota server of these tests; a minute in all.
"""

from __future__ import annotations

from tests.core.quota_drive import Drive, at_random, in_bursts, nobody, once_a_minute
from tests.core.quota_server import QuotaServer

TWO_HOURS_S = 7_200.0

LOADS = (
    (40, (0.2, 1.0), 4),
    (240, (0.05, 0.2), 4),
    (240, (0.2, 1.0), 4),
    (240, (1.0, 3.0), 16),
    (600, (0.2, 0.8), 8),
    (6_000, (0.05, 0.3), 32),
)
"""Limit a minute, shortest and longest answer in seconds, requests on their way at once."""


def main() -> None:
    """Print the table."""
    print("| limit | answers take | others spend | of the allowed share | 429 | jumps beyond a tenth | above share |")
    print("|---|---|---|---|---|---|---|")
    for limit, latency_s, concurrency in LOADS:
        for words, others in (
            ("nothing", nobody),
            ("20 % at random", at_random(0.2 * limit)),
            ("35 % at random", at_random(0.35 * limit)),
            ("60 % at random", at_random(0.6 * limit)),
            ("20 % at once", once_a_minute(limit // 5, 50.0)),
            ("40 % in bursts up to 8 %", in_bursts(max(2, limit // 12), 0.4 * limit)),
            ("40 % in bursts up to 25 %", in_bursts(limit // 4, 0.4 * limit)),
        ):
            drive = Drive(QuotaServer(limit), others=others, latency_s=latency_s, concurrency=concurrency, seed=1)
            drive.run(TWO_HOURS_S if limit <= 600 else TWO_HOURS_S / 12)
            jumps = sum(jump >= limit // 10 for jump in drive.jumps)
            print(
                f"| {limit} | {latency_s[0]:g}-{latency_s[1]:g} s | {words} | {drive.utilisation():.1%} "
                f"| {drive.server.rejected_ours} | {jumps} | {max(0, drive.most_above_share())} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
