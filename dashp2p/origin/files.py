"""/dash/...: the files of a presentation, for players, peers and caches."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.origin.counters import OriginCounters
from dashp2p.origin.lookup import OpenFile, RootMissingError, open_below
from dashp2p.origin.names import kind_of, safe_names
from dashp2p.web.conditional import select
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.file_response import Sent, send_file
from dashp2p.web.json import error_body, not_allowed
from dashp2p.web.media_types import media_type_of
from dashp2p.web.tree import NOTHING_HERE

log = Logger()

CACHE_CONTROL = b"no-cache"
"""Kept by whoever likes, and asked about each time: names repeat from film to film."""


class FilesResource(Resource):
    """Serves regular files below `root`, which may be swapped for another at any moment.

    A file is opened once, and what was opened is sent, at the size that it had: a response is never
    pieced together from two files. Any page may read it (CORS), nobody may change anything.
    """

    isLeaf = True
    cors = CorsPolicy()

    def __init__(self, root: Path, counters: OriginCounters) -> None:
        Resource.__init__(self)
        self._root = root
        self._counters = counters

    def render(self, request: Request) -> bytes | int:
        """Answer GET, HEAD and OPTIONS."""
        names = safe_names(request.postpath or [])
        kind = "other" if names is None else kind_of(names[-1])
        body = self._answer(request, names, kind)
        self._counters.answered(kind, request.code)
        return body

    def _answer(self, request: Request, names: tuple[str, ...] | None, kind: str) -> bytes | int:
        self.cors.apply(request)
        if request.method == b"OPTIONS":
            return self.cors.preflight(request)
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD", "OPTIONS")
        try:
            file = None if names is None else open_below(self._root, names)
        except (RootMissingError, OSError) as error:
            log.warn("a file cannot be opened: {error}", error=str(error))
            request.setHeader(b"Retry-After", b"1")
            return error_body(request, 503, "the files cannot be read at the moment")
        if file is None or names is None:
            return error_body(request, 404, NOTHING_HERE)
        return self._send(request, "/".join(names), kind, file)

    def _send(self, request: Request, path: str, kind: str, file: OpenFile) -> bytes | int:
        chosen = select(request, file.etag, file.size_bytes)
        request.setHeader(b"Cache-Control", CACHE_CONTROL)
        if chosen.code in (200, 206):
            request.setHeader(b"Content-Type", media_type_of(path).encode("ascii"))
        if request.method == b"HEAD" or not chosen.size_bytes:
            file.close()
            return b""

        def finish(sent: Sent) -> None:
            file.close()
            self._counters.sent(kind, path, file.etag, file.size_bytes, sent.sent_bytes, sent.whole)
            if sent.whole:
                request.finish()

        body = send_file(
            request, file.descriptor, chosen.first, chosen.size_bytes, unchanged=file.unchanged
        )
        body.addCallback(finish)
        body.addErrback(lambda failure: log.failure("a response broke", failure=failure))
        return NOT_DONE_YET
