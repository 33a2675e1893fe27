"""Says what an answer other than 200 means, and words it for people.

Rule: the status decides, never the body; bodies come in too many shapes to decide anything.
"""

from __future__ import annotations

from http import HTTPStatus

from collector.errors import ApiRejected, Rejection
from collector.sources.thousandeyes.error_text import error_text
from collector.sources.thousandeyes.http_client import Response
from collector.sources.thousandeyes.text import one_line

_BY_STATUS = {
    301: Rejection.VERSION_GONE,  # the documented answer for a version that does not exist
    308: Rejection.VERSION_GONE,
    401: Rejection.UNAUTHORIZED,
    403: Rejection.FORBIDDEN,
    404: Rejection.VERSION_GONE,
    408: Rejection.UNAVAILABLE,  # says that the server gave up waiting, not that the request is wrong
    410: Rejection.VERSION_GONE,
    429: Rejection.RATE_LIMITED,
}

_ADVICE = {
    Rejection.UNAUTHORIZED: "check the token and whether the account is locked",
    Rejection.FORBIDDEN: "check the user's role and account groups",
    Rejection.VERSION_GONE: "check api_version and base_url",
}


def rejection(status: int, *, is_continuation: bool) -> Rejection:
    """What an answer other than 200 means for the collector.

    Args:
        status: HTTP status, not 2xx.
        is_continuation: whether a next link was asked for; one that is not found has expired, which says nothing about
            the version of the API.
    """
    if status >= 500:
        return Rejection.UNAVAILABLE
    if is_continuation and status in (404, 410):
        return Rejection.BAD_REQUEST
    return _BY_STATUS.get(status, Rejection.BAD_REQUEST)


def rejected(response: Response, body: bytes, path: str, *, is_continuation: bool) -> ApiRejected:
    """The error for an answer other than 200.

    Args:
        response: the answer.
        body: its body without secrets.
        path: what was asked for, without its query.
        is_continuation: whether a next link was asked for.
    """
    kind = rejection(response.status, is_continuation=is_continuation)
    try:
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
    except ValueError:
        status = str(response.status)
    parts = [f"{path} answered {status}"]
    if advice := _ADVICE.get(kind):
        parts[0] += f" ({advice})"
    if text := error_text(body):
        parts.append(text)
    return ApiRejected(kind, one_line(": ".join(parts)), response.answer)
