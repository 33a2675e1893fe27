"""`Watchdog` and `Restarts`: who waits too long is found, who waits as long as it may is left alone."""

from contextlib import ExitStack
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collector.core.model import MonoS
from collector.core.restarts import REST_FIRST_S, REST_MAX_S, STEADY_S, Restarts
from collector.core.watchdog import GRACE_S, LOOK_EVERY_S, Watchdog

LIMITS = st.floats(0.0, 600.0)
STARTS = st.floats(0.0, 100.0)


@given(waits=st.lists(st.tuples(STARTS, LIMITS), max_size=8), looks=st.lists(st.floats(0.0, 9.9), max_size=200))
def test_only_who_is_beyond_its_own_limit_is_found(waits: list[tuple[float, float]], looks: list[float]) -> None:
    """Whatever the others may do; and of several the one that is longest beyond."""
    watchdog, now = Watchdog(), 100.0
    with ExitStack() as stack:
        for number, (since, limit) in enumerate(waits):
            stack.enter_context(watchdog.waiting(str(number), limit, MonoS(since)))
        for pause in looks:
            now += pause
            stall = watchdog.look(MonoS(now))
            beyond = {str(n): now - since - limit for n, (since, limit) in enumerate(waits)}
            if stall is None:
                assert all(seconds <= GRACE_S + 1e-6 for seconds in beyond.values())
            else:
                assert beyond[stall.where] > GRACE_S
                assert beyond[stall.where] >= max(beyond.values()) - 1e-6


@given(limit=LIMITS, frozen_s=st.floats(11.0, 1e6), since=st.floats(0.0, 4.9))
def test_a_pause_of_everybody_is_nobodys_stall(limit: float, frozen_s: float, since: float) -> None:
    """The process was stopped, or its loop blocked: nobody is started over for it; who hangs is found later."""
    watchdog = Watchdog()
    watchdog.look(MonoS(0.0))
    with watchdog.waiting("a request", limit, MonoS(since)):
        assert watchdog.look(MonoS(frozen_s)) is None
        now, found = frozen_s, False
        while now < frozen_s + limit + GRACE_S + 2 * LOOK_EVERY_S:
            now += LOOK_EVERY_S
            found = found or watchdog.look(MonoS(now)) is not None
        assert found


def test_a_wait_that_has_ended_is_forgotten() -> None:
    """However it ended."""
    watchdog = Watchdog()
    try:
        with watchdog.waiting("a request", 1.0, MonoS(0.0)):
            raise KeyError
    except KeyError:
        pass
    assert watchdog.look(MonoS(1_000.0)) is None


@given(ran=st.lists(st.floats(0.0, STEADY_S - 1.0), min_size=1, max_size=40), jitter=st.floats(0.0, 1.0))
def test_rests_grow_up_to_a_bound(ran: list[float], jitter: float) -> None:
    """While it fails soon after each start; once it ran for long they start anew."""
    restarts, now, rests = Restarts(), 0.0, []
    for seconds in ran:
        restarts.started(MonoS(now))
        now += seconds
        rests.append(restarts.failed(MonoS(now), jitter))
        now += rests[-1]
    assert all(later == min(2 * rest, rests[0] * REST_MAX_S / REST_FIRST_S) for rest, later in pairwise(rests))
    assert REST_FIRST_S / 2 <= rests[0] <= rests[-1] <= REST_MAX_S
    restarts.started(MonoS(now))
    assert restarts.failed(MonoS(now + STEADY_S + 1.0), 1.0) == REST_FIRST_S
