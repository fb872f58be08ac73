"""Klein's routes on a bounded site: what tracker and peer build on."""

from __future__ import annotations

import os

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from dashp2p.web.conditional import select
from dashp2p.web.file_response import send_file
from dashp2p.web.site import BoundedSite
from tests.web.support import Answer, Connection

DATA = os.urandom(300_000)


class Routes:
    """A small daemon."""

    app = Klein()

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting: list[Deferred[None]] = []
        self.ended = 0

    @app.route("/segment")
    async def segment(self, request: Request) -> bytes:
        chosen = select(request, "tag", len(DATA))
        if request.method == b"GET" and chosen.size_bytes:
            await send_file(request, self.descriptor, chosen.first, chosen.size_bytes)
            self.ended += 1
        return b""

    @app.route("/breaks")
    async def breaks(self, request: Request) -> bytes:
        request.setHeader(b"Content-Length", b"1000")
        request.write(b"half")
        raise ZeroDivisionError

    @app.route("/fails")
    async def fails(self, request: Request) -> bytes:
        raise ZeroDivisionError


class KleinTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(DATA)
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.routes = Routes(descriptor)
        site = BoundedSite(self.routes.app.resource(), Clock())
        self.client = Connection(site)
        self.addCleanup(self.client.transport.abortConnection)

    def test_a_file_arrives_whole_and_the_connection_lives_on(self) -> None:
        for _ in range(2):
            self.client.transport.taken = b""
            self.client.get("/segment")
            self.assertEqual(Answer.of(self.client).body, DATA)
        self.assertEqual(self.routes.ended, 2)

    def test_parts_and_conditions_hold(self) -> None:
        self.client.get("/segment", "Range: bytes=7-9")
        answer = Answer.of(self.client)
        self.assertEqual((answer.code, answer.body), (206, DATA[7:10]))
        self.client.transport.taken = b""
        self.client.get("/segment", 'If-None-Match: "tag"')
        self.assertEqual(Answer.of(self.client).code, 304)

    def test_head_has_no_body(self) -> None:
        self.client.get("/segment", method="HEAD")
        answer = Answer.of(self.client)
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], "300000")

    def test_a_client_that_leaves_ends_the_route(self) -> None:
        self.client.reading = False
        self.client.get("/segment")
        self.client.transport.abortConnection()
        self.assertEqual(self.routes.ended, 1)

    def test_a_route_that_fails_half_way_is_aborted(self) -> None:
        self.client.get("/breaks")
        self.assertTrue(self.client.aborted)
        self.assertTrue(self.client.transport.taken.endswith(b"half"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_route_that_fails_tells_no_details(self) -> None:
        self.client.get("/fails")
        self.assertEqual(Answer.of(self.client).code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
