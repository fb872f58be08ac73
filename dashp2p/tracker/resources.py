"""The tracker's routes, on plain resources: Klein alone would cost half of what a call may take.

/announce, /lease, /healthz and /readyz answer everyone. The dashboard (/, /ui, /live), /tracker,
/swarms and /metrics tell about viewers: they answer this machine, and others on the --admin
listener only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.tracker import limits
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.dashboard import DASHBOARD, FileResource, FilesResource, dashboard_files
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.figures import collect, holders_fields, swarm_argument, swarms_fields
from dashp2p.tracker.streams import Streams
from dashp2p.web.health import HealthResource, ReadyResource, Reasons
from dashp2p.web.json import ErrorResource, error_body, json_body, not_allowed
from dashp2p.web.metrics import Collect, Metrics, metrics_body
from dashp2p.web.private import PrivateResource

log = Logger()

Answering = Callable[[Request], Awaitable[bytes | None]]
"""None: the response goes on, and ends by itself."""


class Answer(Resource):
    """Answers one method by a coroutine that returns the body and has set the headers."""

    isLeaf = True

    def __init__(self, method: bytes, answer: Answering, refused: Callable[[int], None]) -> None:
        Resource.__init__(self)
        self._methods = (b"GET", b"HEAD") if method == b"GET" else (method,)
        self._answer = answer
        self._refused = refused

    def render(self, request: Request) -> bytes | int:
        if request.method not in self._methods:
            return not_allowed(request, *(method.decode("ascii") for method in self._methods))
        running = Deferred.fromCoroutine(self._respond(request))
        running.addErrback(lambda why: log.failure("a call could not be answered", why))
        if not running.called:
            request.notifyFinish().addErrback(lambda _: running.cancel())
        return int(NOT_DONE_YET)

    async def _respond(self, request: Request) -> None:
        try:
            body = await self._answer(request)
        except CancelledError:
            return  # the client is gone
        except Refused as refused:
            self._refused(refused.status)
            body = _refusal(request, refused)
        except Exception:
            self._refused(500)
            request.processingFailed(Failure())
            return
        if body is None:
            return
        request.setHeader(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()


def _refusal(request: Request, refused: Refused) -> bytes:
    if refused.retry_after_s is not None:
        request.setHeader(b"Retry-After", b"%d" % max(1, ceil(refused.retry_after_s)))
    return error_body(request, refused.status, refused.sentence)


class Root(Resource):
    """All routes of the tracker."""

    def __init__(
        self, api: TrackerApi, streams: Streams, ready: Reasons, *collectors: Collect
    ) -> None:
        Resource.__init__(self)
        self._api = api
        self._streams = streams
        self._figures: dict[str, float] = {}
        self._metrics = Metrics(lambda: collect(self._api, self._figures), *collectors)
        self._put(b"announce", b"POST", self._announce)
        self._put(b"lease", b"POST", self._lease)
        self.putChild(b"healthz", HealthResource())
        self.putChild(b"readyz", ReadyResource(ready))
        self._put(b"tracker", b"GET", self._tracker, private=True)
        self._put(b"swarms", b"GET", self._swarms, private=True)
        self._put(b"metrics", b"GET", self._metrics_text, private=True)
        self._put(b"live", b"GET", self._live, private=True)
        files = dashboard_files()
        self.putChild(b"", PrivateResource(FileResource(files[DASHBOARD])))
        self.putChild(b"ui", PrivateResource(FilesResource(files)))

    def _put(self, name: bytes, method: bytes, answer: Answering, *, private: bool = False) -> None:
        resource = Answer(method, answer, self._api.count_refused)
        self.putChild(name, PrivateResource(resource) if private else resource)

    def getChild(self, path: bytes, request: Request) -> IResource:
        self._api.count_refused(404)
        return ErrorResource(404, "no such address; peers POST to /announce and /lease")

    async def _announce(self, request: Request) -> bytes:
        body = _json_bytes(request, limits.MAX_ANNOUNCE_BYTES)
        signature = request.getHeader(b"dashp2p-signature")
        answer = await self._api.announce(
            body,
            _remote_host(request),
            None if signature is None else signature.decode("ascii", "replace"),
        )
        return _as_json(request, answer)

    async def _lease(self, request: Request) -> bytes:
        body = _json_bytes(request, limits.MAX_LEASE_BYTES)
        answer = await self._api.lease(body, _remote_host(request))
        return _as_json(request, answer)

    async def _tracker(self, request: Request) -> bytes:
        return json_body(request, await holders_fields(self._api, request.args or {}))

    async def _swarms(self, request: Request) -> bytes:
        return json_body(request, await swarms_fields(self._api, request.args or {}))

    async def _live(self, request: Request) -> bytes | None:
        arguments = request.args or {}
        swarm = swarm_argument(arguments)
        if b"once" in arguments or request.method == b"HEAD":
            request.setHeader(b"Cache-Control", b"no-store")
            body = await self._streams.once(swarm, with_history=b"history" in arguments)
            return _as_json(request, body)
        await self._streams.begin(request, swarm)
        return None

    async def _metrics_text(self, request: Request) -> bytes:
        self._figures = await self._api.registry.counters(self._api.seconds())
        return metrics_body(request, self._metrics)


def _remote_host(request: Request) -> str:
    """The socket's remote address, never a header's. A UNIX socket is this machine."""
    address = request.getClientAddress()
    return address.host if isinstance(address, (IPv4Address, IPv6Address)) else "127.0.0.1"


def _json_bytes(request: Request, most: int) -> bytes:
    """The body of a call, at most one byte longer than it may be. Demanding the type keeps pages
    in viewers' browsers from calling: they can't send it without a preflight."""
    media_type = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise Refused("send the body as Content-Type: application/json", 415)
    return b"" if request.content is None else request.content.read(most + 1)


def _as_json(request: Request, body: bytes) -> bytes:
    request.setHeader(b"Content-Type", b"application/json")
    return body
