# ruff: noqa: N802, N815  # Twisted's names
"""One HTTP request, bounded; and a response that is either whole or visibly broken."""

from __future__ import annotations

import json
from io import BytesIO

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from twisted.web.server import Request

from dashp2p.web.channel import BoundedChannel

log = Logger()


class BoundedRequest(Request):
    """twisted.web's request with a few changes.

    The body is kept in memory, since its size is bounded; a chunked one is refused as soon as it
    exceeds the bound. A response that fails after it has begun, or ends before its Content-Length,
    is aborted instead of being finished with other bytes: a player must never take an error page
    for the rest of a segment. No traceback, version or HTML error page goes to a client.
    """

    defaultContentType = b"text/plain; charset=utf-8"
    channel: BoundedChannel
    content: BytesIO
    _body_bytes = 0

    def __init__(self, channel: BoundedChannel, *args: object, **kwargs: object) -> None:
        Request.__init__(self, channel, *args, **kwargs)
        # No route takes forms. Older Twisted parses them all the same, within the body's bound.
        self._parsePOSTFormSubmission = False

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        limit = self.channel.site.limits.body_bytes
        self._body_bytes += len(data)
        if self._body_bytes > limit:
            self.channel.refuse(413, f"a request's body may have {limit} bytes")
            return
        self.content.write(data)

    def write(self, data: bytes) -> None:
        if not self.startedWriting and self.code in NO_BODY_CODES:
            # Twisted gives every rendered body a length; here it would be that of no body.
            self.responseHeaders.removeHeader(b"Content-Length")
        Request.write(self, data)

    def sent_beside(self, size_bytes: int) -> None:
        """Bytes of the body went to the socket without `write`."""
        self.sentLength += size_bytes
        if self.channel is not None:
            self.channel.sent_beside(size_bytes)

    def finish(self) -> None:
        missing = self._missing_bytes()
        if missing and not self._disconnected:
            log.error(
                "a response to {method} lacks {missing} of its bytes",
                method=self.method,
                missing=missing,
            )
            self.abort()
            return
        Request.finish(self)

    def _missing_bytes(self) -> int:
        declared = self.responseHeaders.getRawHeaders(b"Content-Length")
        if declared is None or self.method == b"HEAD" or self.code in NO_BODY_CODES:
            return 0
        return int(declared[0]) - int(self.sentLength)

    def abort(self) -> None:
        """Drop the connection: the response cannot be completed. Does nothing when it is gone."""
        if self.channel is not None:
            self.channel.abort()

    def processingFailed(self, reason: Failure) -> Failure:
        log.failure("the request failed", failure=reason)
        if self.startedWriting:
            self.abort()
            return reason
        body = (
            json.dumps({"v": 1, "error": "the request failed here; see the log"}).encode() + b"\n"
        )
        self.responseHeaders.removeHeader(b"ETag")
        self.responseHeaders.removeHeader(b"Content-Range")
        self.setResponseCode(500)
        Request.setHeader(self, b"Content-Type", b"application/json")
        Request.setHeader(self, b"Content-Length", b"%d" % len(body))
        Request.setHeader(self, b"Cache-Control", b"no-store")
        if not self._disconnected:
            Request.write(self, body)
            Request.finish(self)
        return reason
