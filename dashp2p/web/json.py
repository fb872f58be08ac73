"""JSON in requests and responses: bounded, strict, and with sentences for errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from dashp2p.web.limits import MAX_BODY_BYTES, MAX_JSON_DEPTH


class BadRequestError(Exception):
    """A request that is refused: `code` is its status, the text a sentence that says what to do."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_json(request: Request, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The request's body, a JSON object.

    The type must be application/json: a page of another site cannot send that without being asked
    by a preflight. Raises BadRequestError with 413, 415 or 400. Numbers are finite, text is valid
    Unicode, nesting is at most MAX_JSON_DEPTH deep; all else is for the caller to check.
    """
    media_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequestError(415, "send the body as Content-Type: application/json")
    body = request.content
    raw = b"" if body is None else body.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise BadRequestError(413, f"the body may have {max_bytes} bytes")
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise BadRequestError(400, "the body must be a JSON object")
    return value


def parse_json(raw: bytes) -> Any:
    """A JSON value from bytes that came from outside. Raises BadRequestError(400)."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise BadRequestError(400, "the body is not JSON in UTF-8 with finite numbers") from error
    if _deeper_than(value, MAX_JSON_DEPTH):
        raise BadRequestError(400, f"the body is nested more than {MAX_JSON_DEPTH} deep")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _deeper_than(value: object, depth: int) -> bool:
    level: list[object] = [value]
    for _ in range(depth):
        inside: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inside.extend(item.values())
            elif isinstance(item, list):
                inside.extend(item)
        if not inside:
            return False
        level = inside
    return any(isinstance(item, (dict, list)) for item in level)


def json_body(request: Request, value: Mapping[str, object], code: int = 200) -> bytes:
    """The bytes of a JSON response; sets status and headers. Return it from a route or render."""
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Cache-Control", b"no-store")
    return body


def error_body(request: Request, code: int, message: str) -> bytes:
    """The bytes of an error response: {"v":1,"error":"sentence"}."""
    return json_body(request, {"v": 1, "error": message}, code)


class ErrorResource(Resource):
    """Answers every method and path with one error."""

    isLeaf = True

    def __init__(self, code: int, message: str) -> None:
        Resource.__init__(self)
        self._code = code
        self._message = message

    def render(self, request: Request) -> bytes:
        body = error_body(request, self._code, self._message)
        return b"" if request.method == b"HEAD" else body


def not_allowed(request: Request, *methods: str) -> bytes:
    """405 with the methods that are allowed."""
    request.setHeader(b"Allow", ", ".join(methods).encode("ascii"))
    return error_body(request, 405, f"this address answers {', '.join(methods)} only")
