"""The core needs no event loop, no network and no clock: only settings for Hypothesis."""

from tests.core.profiles import load_profile

load_profile()
