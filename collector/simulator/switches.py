"""Faults and open questions: what can go wrong with an answer, and what the documentation does not settle.

One rule: a switch changes only how the truth is shown, never the truth itself (`sessions.py`).
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A probability or a share, 0 to 1."""

FaultKind = Literal["429", "500", "502", "503", "dropped", "truncated", "malformed", "error_in_200", "slow"]
"""A fault that spoils one whole answer; at most one happens to a request."""

ErrorShape = Literal["documented", "problem", "error_message", "oauth", "legacy", "empty", "html", "random"]
"""Bodies that error answers are known to have."""


class FrozenSettings(BaseModel):
    """A group of switches: immutable, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Faults(FrozenSettings):
    """What goes wrong, and how often. Every share is drawn once a request, from the simulator's own seeded source."""

    status_429: Share = 0.0
    """Answers 429 although quota is left."""
    status_500: Share = 0.0
    """Answers 500 as problem+json."""
    status_502: Share = 0.0
    """Answers 502 with an HTML page, as a gateway does, without quota headers."""
    status_503: Share = 0.0
    """Answers 503 in plain text, without quota headers."""
    dropped: Share = 0.0
    """Connections closed without any answer; the request has been counted."""
    truncated: Share = 0.0
    """Answers closed in mid-body, with a Content-Length that promises more."""
    malformed: Share = 0.0
    """Complete answers whose JSON is cut."""
    error_in_200: Share = 0.0
    """Status 200 with an error message as the body."""
    slow: Share = 0.0
    """Answers that take slow_s longer."""
    slow_s: Annotated[float, Field(ge=0.0, le=600.0)] = 2.0
    """Seconds by which a slow answer is late."""
    bad_cursor: Share = 0.0
    """Valid cursors (v7) and lastRoundIds (v6) refused with 400 in mid-walk."""
    cursor_loop: Share = 0.0
    """Next links that lead to the same page again."""
    empty_last_page: Share = 0.0
    """Walks that end with a next link to an empty page."""
    next_missing_on_full_page: bool = False
    """A page that is exactly full has no next link (a bug of 2021)."""
    results_key_missing_when_empty: bool = False
    """An empty page lacks its array instead of showing []."""
    content_type_variant: Share = 0.0
    """Answers labelled with another content type than documented."""
    error_shape: ErrorShape = "documented"
    """Body of 4xx answers: as documented for the case, or one of the known shapes for all."""
    account_locked: bool = False
    """Correct credentials are answered with 401."""
    forbidden_aids: frozenset[int] = frozenset()
    """Account groups that answer 403."""
    v6_gone: Literal[301, 404, 410] | None = None
    """Status of every v6 answer once v6 is switched off."""

    @model_validator(mode="after")
    def _at_most_one_fault_a_request(self) -> Self:
        if sum(self.shares().values()) > 1.0:
            raise ValueError("the shares of the faults that spoil a whole answer must not add up to more than 1")
        return self

    def shares(self) -> dict[FaultKind, float]:
        """The share of each fault that spoils a whole answer, in the order in which they are drawn."""
        return {
            "429": self.status_429,
            "500": self.status_500,
            "502": self.status_502,
            "503": self.status_503,
            "dropped": self.dropped,
            "truncated": self.truncated,
            "malformed": self.malformed,
            "error_in_200": self.error_in_200,
            "slow": self.slow,
        }


class InferredBehaviour(FrozenSettings):
    """What the documentation leaves open. Each default is the best supported reading."""

    quota_window: Literal["utc-minute", "rolling"] = "utc-minute"
    """Calendar minutes, or a minute from the first request of a batch."""
    refused_requests_count: bool = False
    """Whether a request answered 429 spends quota too."""
    round_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Length of a round of user sessions, seconds."""
    range_selects: Literal["date", "round"] = "date"
    """Whether a range selects on date or on roundId."""
    last_round: Literal["previous", "current"] = "previous"
    """Which round 'the last round' is."""
    v7_without_range: Literal["all", "last-round"] = "all"
    """What a v7 list without a range returns."""
    v7_window_with_start: Literal["reject", "ignore-window"] = "reject"
    """V7: window next to startDate."""
    v6_paging: Literal["whole-rounds", "inclusive"] = "whole-rounds"
    """LastRoundId exclusive with whole rounds a page, or inclusive with exactly full pages."""
    v6_next_keeps_query: bool = True
    """V6: the next link carries aid and format of the request."""
    v6_foreign_aid_status: Literal[400, 403] = 400
    """V6: status for an aid that is not the caller's."""
    v7_foreign_aid_status: Literal[400, 403, 404] = 403
    """V7: status for an aid that is not the caller's."""
    v6_malformed_json_status: Literal[400, 406] = 400
    """V6: status for a body that is not JSON."""
    changed_body_in_walk: Literal["reject", "incoherent"] = "reject"
    """A filter that changes between two pages: 400, or the new filter from the old position."""
    unknown_filter_key: Literal["reject", "ignore"] = "reject"
    """A filter key that does not exist."""
    cursor_lifetime_s: Annotated[float, Field(gt=0)] | None = None
    """Age in seconds at which a cursor is refused with 400."""
    filter_content_type: Literal["application/json", "application/hal+json;charset=UTF-8"] = "application/json"
    """Content type of the v7 filter answers."""
    masked_identities: bool = False
    """Numeric ids instead of names, as without the 'identifies' permissions."""
