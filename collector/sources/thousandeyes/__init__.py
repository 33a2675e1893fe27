"""The ThousandEyes API as a source of endpoint user sessions.

One call is one request and ends in one answer or one error (`collector.errors.SourceError`): no retry, no pacing, no
wait except for the answer. Only this package imports httpx.
"""

from collector.sources.thousandeyes.credentials import Credentials
from collector.sources.thousandeyes.filters import filter_mistakes
from collector.sources.thousandeyes.settings import ApiVersion, SourceSettings
from collector.sources.thousandeyes.source import ThousandEyesSource, open_source
from collector.sources.thousandeyes.v6 import ThousandEyesV6
from collector.sources.thousandeyes.v7 import ThousandEyesV7

__all__ = [
    "ApiVersion",
    "Credentials",
    "SourceSettings",
    "ThousandEyesSource",
    "ThousandEyesV6",
    "ThousandEyesV7",
    "filter_mistakes",
    "open_source",
]
