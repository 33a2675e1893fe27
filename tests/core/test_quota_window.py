"""`QuotaWindow`: whose requests a window counts."""

from __future__ import annotations

from collector.core.model import EpochS, MonoS, Quota
from collector.core.quota_window import QuotaWindow
from tests.core.pages import EPOCH


def test_what_is_on_its_way_or_was_lost_is_ours() -> None:
    """Each request of ours counts from when it leaves, until an answer says more; one that got lost for good."""
    window = QuotaWindow()
    first = window.sent(MonoS(0.0), 0)
    window.came_back(first)
    window.learn(first, Quota(240, 239, EpochS(EPOCH + 30.0)), EpochS(EPOCH), MonoS(0.5), counted=True)
    assert window.ours == 1
    second, third = window.sent(MonoS(1.0), 0), window.sent(MonoS(2.0), 0)
    assert window.ours == 3
    window.came_back(second)
    window.lost(MonoS(3.0))
    assert window.ours == 3
    window.came_back(third)
    window.learn(third, Quota(240, 230, EpochS(EPOCH + 30.0)), EpochS(EPOCH + 3.0), MonoS(3.5), counted=True)
    assert window.ours == 3
    assert window.others == 7
