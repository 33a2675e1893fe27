"""The memory of an organization is kept under the operator's choices, from the first account group to a restore."""

from __future__ import annotations

from collector.core.chunks import Marks
from collector.core.identity import Identity, IdentityForm
from collector.core.progress import ProgressSettings
from collector.organization.memory import OrganizationMemory
from tests.core.pages import AID, EPOCH, regular_id, suffix

SETTINGS = ProgressSettings(3_600, 300, 86_400)


def test_an_account_group_is_remembered_under_the_choices_and_restored_under_others() -> None:
    """Page rows are found as page rows again; under another identity their session is known, and nothing is refused."""
    by_page, by_session = (IdentityForm(identity, "v7 json") for identity in (Identity.SESSION_PAGE, Identity.SESSION))
    session = regular_id(EPOCH, suffix(1))
    seen = OrganizationMemory("acme", SETTINGS, by_page).group(AID).seen
    assert seen.form == by_page
    state = {}
    for change in seen.write(Marks(regular={EPOCH: [(suffix(1) + "page0001", 5)]})).changes:
        assert change.value is not None
        state[change.key] = change.value
    again = OrganizationMemory("acme", SETTINGS, by_page)
    again.restore(state)
    assert again.group(AID).seen.find(f"{session}:page0001")
    assert not again.group(AID).seen.find(session)
    other = OrganizationMemory("acme", SETTINGS, by_session)
    other.restore(state)
    assert other.group(AID).seen.has_former(session)
