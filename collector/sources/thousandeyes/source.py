"""Opens the source of one organization in the version of the API that it uses."""

from __future__ import annotations

from collector.sources.thousandeyes.settings import SourceSettings
from collector.sources.thousandeyes.v6 import ThousandEyesV6
from collector.sources.thousandeyes.v7 import ThousandEyesV7

ThousandEyesSource = ThousandEyesV7 | ThousandEyesV6


def open_source(settings: SourceSettings) -> ThousandEyesSource:
    """The adapter for the version of the API that the settings name. Nothing is sent yet; close it with ``aclose``.

    Args:
        settings: of the source.

    Raises:
        ConfigurationError: the certificates or the environment's proxies cannot be used.
    """
    return ThousandEyesV7(settings) if settings.api_version == "v7" else ThousandEyesV6(settings)
