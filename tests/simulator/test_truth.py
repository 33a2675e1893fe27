"""The generator: a pure function of seed, account group and round."""

import re

import pytest

from collector.simulator.fleet import Fleet
from collector.simulator.rows_v7 import encode_session
from collector.simulator.sessions import AccountGroup, SessionRow, SessionTruth
from collector.simulator.settings import SimulatorSettings
from tests.simulator.api import START, MakeApi

pytestmark = pytest.mark.anyio
ROUND = int(START)


def group(rate: float = 40.0, aid: int = 160) -> AccountGroup:
    return AccountGroup(aid, "Branch", "Example", rate, Fleet(1, aid, 10, 0.1))


def rows(settings: SimulatorSettings, round_id: int = ROUND, **of_group: float) -> list[SessionRow]:
    return SessionTruth(settings).round(group(**of_group), round_id).rows  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_rows_byte_for_byte() -> None:
    """Two generators of one seed agree on every byte of a round; another seed agrees on no session."""
    one, two = (SessionTruth(SimulatorSettings(seed=5)).round(group(), ROUND) for _ in range(2))
    assert one.encoded(encode_session) == two.encoded(encode_session)
    other = {row.session_id for row in rows(SimulatorSettings(seed=6))}
    assert other.isdisjoint(row.session_id for row in one.rows)


def test_the_cache_changes_nothing() -> None:
    """A generator that can remember next to nothing shows the same rounds, in any order of asking."""
    forgetful, mindful = SessionTruth(SimulatorSettings(cache_rows_max=1)), SessionTruth(SimulatorSettings())
    order = [ROUND, ROUND + 60, ROUND, ROUND - 60, ROUND + 60]
    assert [forgetful.round(group(), r).rows for r in order] == [mindful.round(group(), r).rows for r in order]


def test_ids_name_account_group_and_round() -> None:
    """An id is the account group in five digits, the round, and eight letters or digits; no two are equal."""
    made = rows(SimulatorSettings(), rate=2000.0)
    assert len({row.session_id for row in made}) == len(made)
    assert all(re.fullmatch(rf"00160:{ROUND}:[0-9A-Za-z]{{8}}", row.session_id) for row in made)
    wide = rows(SimulatorSettings(), aid=212281)
    assert wide[0].session_id.startswith(f"212281:{ROUND}:")


def test_rounds_are_sorted_and_hold_their_dates() -> None:
    """The rows of a round come oldest first, and their dates lie in the round."""
    dates = [row.date for row in rows(SimulatorSettings())]
    assert dates == sorted(dates)
    assert all(ROUND <= date < ROUND + 60 for date in dates)


def test_the_length_of_a_round_is_a_switch() -> None:
    """With rounds of 300 s dates spread over five minutes."""
    settings = SimulatorSettings(inferred={"round_s": 300})  # type: ignore[arg-type]
    assert max(row.date for row in rows(settings, rate=200.0)) >= ROUND + 60


def test_commits_follow_their_date() -> None:
    """Usually within 1 to 3 s; a late share within late_max_s, marked as late; clocks ahead only when switched on."""
    usual = rows(SimulatorSettings(late_share=0.0), rate=500.0)
    assert {row.committed - row.date for row in usual} == {1, 2, 3}
    late = [row for row in rows(SimulatorSettings(late_share=0.5, late_max_s=900.0), rate=500.0) if row.late]
    assert 200 < len(late) < 300
    assert all(4 <= row.committed - row.date <= 900 for row in late)
    assert max(row.committed - row.date for row in late) > 600
    ahead = rows(SimulatorSettings(skewed_agents_share=1.0, skew_max_s=50.0))
    assert all(-50 <= row.committed - row.date <= 0 for row in ahead)


def test_shares_are_kept() -> None:
    """Shares of changed, bad, unusual and several-row sessions come out close to what was asked."""
    made = rows(SimulatorSettings(changed_share=0.2, bad_share=0.1, unusual_share=0.3), rate=4000.0)
    count = len(made)
    assert abs(count - 4000) < 300
    assert 0.15 < sum(row.changed_at > row.committed for row in made) / count < 0.22
    assert 0.08 < sum(bool(row.bad) for row in made) / count < 0.12
    assert 0.27 < sum(row.unusual for row in made) / count < 0.33


def test_no_late_session_takes_long_with_a_small_bound() -> None:
    """A late_max_s below the usual delay leaves delays as usual."""
    made = rows(SimulatorSettings(late_share=1.0, late_max_s=2.0), rate=100.0)
    assert {row.committed - row.date for row in made} == {1, 2, 3}


async def test_account_groups_are_unequally_busy(make_api: MakeApi) -> None:
    """With exponent 1 the first account group has about twice the sessions of the second; together what was asked."""
    api = make_api(sessions_per_minute=300.0, account_groups=2)
    groups = (await api.truth(ids="true"))["organizations"][0]["accountGroups"]
    first, second = (len(group["sessions"]) for group in groups)
    assert 1.8 < first / second < 2.2
    assert 8500 < first + second < 9500  # half an hour


async def test_a_restart_with_the_origin_shows_the_same_truth(make_api: MakeApi) -> None:
    """A simulator started later with the same seed and origin agrees on everything the first one knew."""
    first = make_api(seed=3)
    before = await first.truth()
    second = make_api(seed=3, origin_epoch_s=before["origin"])
    second.clock.now += 600
    after = await second.truth(to=START, committed_until=START)
    assert after["organizations"] == before["organizations"]
    assert second.world.origin == first.world.origin
