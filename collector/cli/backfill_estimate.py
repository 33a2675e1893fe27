"""`te-collector backfill --dry-run`: what would be asked, from what is known without asking the API.

One rule: it writes nothing, and says which part is a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.cli.backfill_view import range_text
from collector.cli.brokers_only import print_json
from collector.cli.wording import plural
from collector.config import Config
from collector.core.backfill import BackfillRequest
from collector.core.event import rfc3339, source_of
from collector.core.spans import SLICE_MAX_S
from collector.errors import TooManyEvents
from collector.kafka.published import published_ids
from collector.kafka.settings import KafkaSettings

PAGE_ROWS = 1_000
"""Rows of a full page, for the estimate; the API's own number."""


async def print_estimate(
    config: Config, settings: KafkaSettings, request: BackfillRequest, aids: Sequence[str], *, as_json: bool
) -> None:
    """Print how many events of the range the topic has, and how many requests it takes at least.

    Args:
        config: the configuration.
        settings: of Kafka.
        request: what would be asked for.
        aids: its account groups, as far as they are known.
        as_json: as one document.
    """
    by_page = config.events.identity == "session-page"
    walks = -(-(request.end - request.start) // SLICE_MAX_S)
    groups: list[tuple[str, int | None, int]] = []
    if not as_json:
        known = plural(len(aids), "account group") if aids else "no account group is known before it was collected"
        print(f"{request.organization}: {range_text(request)}; {known}")
    for aid in aids:
        source = source_of(request.organization, aid)
        try:
            count: int | None = len(await published_ids(settings, source, request.start, request.end, by_page))
            found = f"{plural(count or 0, 'event')} in the topic"
        except TooManyEvents as error:
            count, found = None, str(error)
        requests = max(walks, -(-(count or 0) // PAGE_ROWS))
        groups.append((aid, count, requests))
        if not as_json:
            print(f"  {aid}: {found}, at least {plural(requests, 'request')}")
    total = sum(requests for _, _, requests in groups)
    if as_json:
        each = [{"aid": aid, "events": count, "requests_at_least": requests} for aid, count, requests in groups]
        document = {"organization": request.organization, "from": rfc3339(request.start), "to": rfc3339(request.end)}
        print_json(document | {"account_groups": each, "requests_at_least": total})
        return
    at_least = f"At least {plural(total, 'request')}; what is missing is known once it is asked for. " if aids else ""
    print(f"{at_least}Nothing was asked, nothing written.")
