"""One organization: the loop over the two ports, its gate to the API, its memory of what was published."""

from collector.organization.loop import Organization
from collector.organization.settings import Observer, OrganizationSettings

__all__ = ["Observer", "Organization", "OrganizationSettings"]
