"""How Hypothesis runs the tests of this project.

Rule: in CI the same examples every time (a red build means a change, not luck); on a developer's machine new ones, so
that the search goes on. No deadline for one example: machines are shared, and nothing here asserts a duration.
"""

import os

from hypothesis import HealthCheck, Phase, settings

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}

settings.register_profile("ci", derandomize=True, database=None, print_blob=True, **_SHARED)
# For runs over seeded mistakes: whether it fails is the question, not the smallest example.
_FAST = (Phase.explicit, Phase.generate)
settings.register_profile("mistakes", derandomize=True, database=None, phases=_FAST, **_SHARED)
settings.register_profile("developer", print_blob=True, **_SHARED)


def load_profile() -> None:
    """Take the profile that ``HYPOTHESIS_PROFILE`` names, or the one that fits the machine."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "developer"))
