"""The loop on virtual time needs no event loop from pytest: each test runs its own, see `tests.organization.world`."""

from tests.core.profiles import load_profile

load_profile()
