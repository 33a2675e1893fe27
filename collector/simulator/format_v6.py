"""v6 output: JSON or XML, chosen by path suffix, Accept header or `format`, in this order.

One rule: handlers build plain values; this module turns them into bytes. The XML shape is INFERRED: the reference never
shows one for these resources, a changelog only hints at elements instead of attributes. Here the root is named after
the resource, each row is one element named like the JSON array, fields are its children, and `pages` holds `current`
and `next`.
Source of the precedence: the v6 page on response formats.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal
from xml.etree import ElementTree

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.simulator.answers import JSON_UTF8, ApiError

Format = Literal["json", "xml"]
_ACCEPTED: dict[str, Format] = {"application/json": "json", "text/xml": "xml", "application/xml": "xml"}
_ANY = frozenset({"*/*", "application/*", "text/*"})


def wanted_format(request: Request) -> Format:
    """The format that a request asks for; JSON when it gives no hint, which no source states.

    Raises:
        ApiError: 406 when only formats are accepted that the API does not have.
    """
    path = request.url.path
    if path.endswith(".json"):
        return "json"
    if path.endswith(".xml"):
        return "xml"
    accept = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    for media_type in accept:
        if media_type in _ACCEPTED:
            return _ACCEPTED[media_type]
    if any(accept) and not _ANY.intersection(accept):
        raise ApiError(406, "Not Acceptable")
    return "xml" if request.query_params.get("format") == "xml" else "json"


def with_suffixes(path: str, endpoint: Callable[[Request], Awaitable[Response]], methods: list[str]) -> list[Route]:
    """A route and its `.json` and `.xml` variants, which come first because they are longer."""
    return [Route(path + suffix, endpoint, methods=methods) for suffix in (".json", ".xml", "")]


def write(request: Request, root: str, value: dict[str, Any]) -> Response:
    """Writes an answer from plain values in the format asked for."""
    if wanted_format(request) == "json":
        return Response(orjson.dumps(value), media_type=JSON_UTF8)
    return xml_answer(root, value)


def xml_answer(root: str, value: dict[str, Any]) -> Response:
    """Writes an answer as XML in the inferred shape."""
    element = ElementTree.Element(root)
    _append(element, value)
    text = ElementTree.tostring(element, encoding="utf-8", xml_declaration=True)
    return Response(text, media_type="text/xml")


def _append(parent: ElementTree.Element, value: object) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            for each in item if isinstance(item, list) else [item]:
                _append(ElementTree.SubElement(parent, name), each)
    elif isinstance(value, list):
        for each in value:
            _append(ElementTree.SubElement(parent, "value"), each)
    elif isinstance(value, bool):
        parent.text = "true" if value else "false"
    elif value is not None:
        parent.text = str(value)
