"""Error answers: the five documented or observed shapes, and which case has which.

One rule: a handler raises `ApiError` and knows no shapes; the shape follows from the API version, the status and the
switch `Faults.error_shape`. Sources: the v7 reference, bodies observed on the live API in 2026, the v6 client
libraries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import orjson
from starlette.responses import Response

from collector.simulator.switches import ErrorShape

Version = Literal["v6", "v7"]

HAL = "application/hal+json;charset=UTF-8"
JSON_UTF8 = "application/json;charset=UTF-8"
PROBLEM = "application/problem+json;charset=UTF-8"
_BODY_SHAPES: tuple[ErrorShape, ...] = ("problem", "error_message", "oauth", "legacy", "empty", "html")
_NOT_AUTHORIZED = "401 Not Authorized\nPlease ensure you are using the correct authentication token."


@dataclass(frozen=True, slots=True)
class FieldError:
    """One entry of a validation error."""

    code: str
    field: str
    message: str


class ApiError(Exception):
    """The request is answered with an error.

    Args:
        status: HTTP status, 4xx or 5xx.
        title: what went wrong, in one sentence.
        detail: more about it.
        errors: what was wrong with which field.
    """

    def __init__(
        self, status: int, title: str, *, detail: str | None = None, errors: tuple[FieldError, ...] = ()
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.detail, self.errors = status, title, detail, errors


def documented_shape(version: Version, status: int, *, token_invalid: bool = False) -> ErrorShape:
    """The shape that the documentation, or an observation, gives for a case."""
    if status == HTTPStatus.UNAUTHORIZED:
        return "oauth" if token_invalid else "error_message"
    if status == HTTPStatus.NOT_FOUND:
        return "empty"
    return "error_message" if version == "v6" else "problem"


def pick_shape(
    wanted: ErrorShape, documented: ErrorShape, choose: Callable[[Sequence[ErrorShape]], ErrorShape]
) -> ErrorShape:
    """The shape to use: the documented one, the one that was set for all, or one drawn by `choose`."""
    if wanted == "documented":
        return documented
    if wanted == "random":
        return choose(_BODY_SHAPES)
    return wanted


def error_answer(error: ApiError, shape: ErrorShape, *, path: str, now: float) -> Response:
    """Writes an error.

    Args:
        error: what happened.
        shape: one concrete shape.
        path: path of the request, which some shapes repeat.
        now: the server's time, epoch seconds.

    Returns:
        The answer, without quota headers; those belong to `gate.py`.
    """
    if shape == "empty":
        return Response(status_code=error.status)
    if shape == "html":
        return html_error(error.status)
    body, media_type = _json_body(error, shape, path, now)
    return Response(orjson.dumps(body), error.status, media_type=media_type)


def html_error(status: int) -> Response:
    """The page of a gateway in front of the API. No source shows it; readers must survive it all the same."""
    phrase = f"{status} {HTTPStatus(status).phrase}"
    head, body = f"<head><title>{phrase}</title></head>", f"<body><center><h1>{phrase}</h1></center></body>"
    return Response(f"<html>\r\n{head}\r\n{body}\r\n</html>\r\n", status, media_type="text/html")


def _json_body(error: ApiError, shape: ErrorShape, path: str, now: float) -> tuple[dict[str, Any], str]:
    if shape == "oauth":
        return {"error": "invalid_token", "error_description": "Invalid access token"}, "application/json"
    if shape == "error_message":
        not_authorized = error.status == HTTPStatus.UNAUTHORIZED
        message = _NOT_AUTHORIZED if not_authorized else error.detail or error.title
        return {"errorMessage": message}, JSON_UTF8
    if shape == "legacy":
        body = {
            "timestamp": int(now * 1000),
            "httpStatus": HTTPStatus(error.status).name,
            "errors": [error.title],
            "path": path,
        }
        return body, JSON_UTF8
    problem: dict[str, Any] = {"type": "about:blank", "title": error.title, "status": error.status, "instance": path}
    if error.detail is not None:
        problem["detail"] = error.detail
    if error.errors:
        problem["errors"] = [{"code": e.code, "field": e.field, "message": e.message} for e in error.errors]
    return problem, PROBLEM
