"""The two ports of the collector: where sessions come from, and where they go.

Rule: narrow enough that a faithful fake fits on a page; the same contract tests hold for fake and real.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from collector.core.backfill_jobs import Letter
from collector.core.model import AccountGroupList, Answer, Page, PageRequest, Publication

Publish = Callable[[Publication], Awaitable[None]]
"""Makes a publication durable: returns after the commit, raises `PublishFailed` when the outcome is unknown."""


Letters = Callable[[int | None], Awaitable[tuple[Sequence[Letter], int]]]
"""Reads what was written to a shard's owner from an offset on (None: from the first record that is there), and says
where to go on."""

PublishedIds = Callable[[str, int, int, bool], Awaitable[set[str]]]
"""Reads the ids of the events of a CloudEvents source whose sessions took place from one second to another, as far as
they were committed when it was called; the last argument: identities are page rows. Raises `TooManyEvents`."""


Admit = Callable[[Answer, int], Awaitable[None]]
"""Awaited when an answer 200 is here, before it is decoded, with what it tells and the size of its body, bytes. Returns
when its rows may take their memory."""


async def at_once(answer: Answer, body_bytes: int) -> None:
    """Admits every page."""


@dataclass(frozen=True, slots=True)
class BackfillPorts:
    """What backfill needs of the outside, of one shard.

    Args:
        letters: see there.
        published: see there.
        look_every_s: how soon a request is noticed, seconds; one question to a broker each time.
    """

    letters: Letters
    published: PublishedIds
    look_every_s: float = 3.0


class Source(Protocol):
    """One organization's view of the API. One call is one request: no retry, no waiting, no budget inside."""

    async def account_groups(self) -> AccountGroupList:
        """The account groups that the credentials can see.

        Raises:
            ApiRejected: the API did not answer with a list.
            PageMalformed: the answer 200 is none.
        """

    async def fetch(self, request: PageRequest, admit: Admit = at_once) -> Page:
        """One page.

        Args:
            request: what is asked for.
            admit: awaited once the whole answer is here, before its rows are decoded.

        Raises:
            ApiRejected: the API did not answer with a page; ``kind`` says what follows.
            PageMalformed: the answer 200 is no page.
        """

    async def aclose(self) -> None:
        """Close the connections; never raises."""


class Sink(Protocol):
    """One shard's way into Kafka and its durable state. After any error: close it, and open a new one."""

    async def open(self) -> dict[str, bytes]:
        """Become the owner of the shard, and return its durable state.

        Raises:
            PublishFailed: not now; try again later with a new sink.
            StartRefused: never, until an operator acts.
        """

    async def publish(self, publication: Publication) -> None:
        """Make all of a publication durable, or nothing. May use its records up.

        Raises:
            PublishFailed: the outcome is unknown; the sink is unusable.
        """

    async def read_again(self) -> dict[str, bytes]:
        """The shard's durable state as it is now, all that was published included, while we own it.

        Raises:
            PublishFailed: it could not be read; the sink is unusable.
            StartRefused: as from `open`.
        """

    @property
    def worn_out(self) -> bool:
        """Whether it should be replaced by a new one at the next quiet moment."""

    async def close(self) -> None:
        """Give up ownership; never raises, and takes a few seconds at most."""
