"""Files on their way to a client: whole or visibly broken, and only as fast as it reads."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.web.file_response import Sent, send_file
from dashp2p.web.limits import FILE_CHUNK_BYTES
from dashp2p.web.site import BoundedSite
from tests.web.support import FULL_BYTES, Answer, Connection, Recorder

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class FileResponseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.data = os.urandom(1_000_003)
        self.path = self.mktemp()
        with open(self.path, "wb") as file:
            file.write(self.data)
        self.descriptor = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.descriptor)
        self.first, self.size = 0, len(self.data)
        self.changed = False
        self.outcomes: list[Sent] = []
        self.bodies: list[Deferred[Sent]] = []
        self.clock = Clock()
        self.client = Connection(BoundedSite(Recorder(self.answer), self.clock))
        self.client.reading = False

    def answer(self, request: Request) -> int:
        request.setHeader(b"Content-Length", b"%d" % self.size)
        body = send_file(
            request, self.descriptor, self.first, self.size, unchanged=lambda: not self.changed
        )
        self.bodies.append(body)

        def finish(sent: Sent) -> None:
            self.outcomes.append(sent)
            if sent.whole:
                request.finish()

        body.addCallback(finish)
        return NOT_DONE_YET

    def test_a_file_arrives_whole(self) -> None:
        self.client.send(GET)
        self.client.reading = True
        self.assertEqual(Answer.of(self.client).body, self.data)
        self.assertEqual(self.outcomes, [Sent(len(self.data), True)])

    def test_a_part_arrives(self) -> None:
        self.first, self.size = 500_001, 300_000
        self.client.send(GET)
        self.client.reading = True
        self.assertEqual(Answer.of(self.client).body, self.data[500_001:800_001])

    def test_an_empty_part_arrives(self) -> None:
        self.size = 0
        self.client.send(GET)
        self.client.reading = True
        self.assertEqual(Answer.of(self.client).body, b"")
        self.assertEqual(self.outcomes, [Sent(0, True)])

    def test_no_more_is_read_than_the_client_takes(self) -> None:
        self.client.send(GET)
        transport = self.client.transport
        while not self.outcomes:
            self.assertLessEqual(len(transport.dataBuffer), FULL_BYTES + FILE_CHUNK_BYTES)
            transport.take(10_000)
        self.assertEqual(self.outcomes[0].sent_bytes, len(self.data))

    def test_pipelined_files_do_not_pile_up(self) -> None:
        self.size = 1000
        self.client.send(GET * 1000)
        self.assertLessEqual(self.client.transport.most_buffered, FULL_BYTES + FILE_CHUNK_BYTES)
        self.client.reading = True
        self.assertEqual(self.client.received().count(self.data[:1000]), 1000)

    def test_a_client_that_leaves_ends_it(self) -> None:
        self.client.send(GET)
        self.client.transport.abortConnection()
        self.assertEqual(len(self.outcomes), 1)
        self.assertFalse(self.outcomes[0].whole)

    def test_a_client_that_stalls_is_given_up(self) -> None:
        self.client.send(GET)
        for _ in range(75):
            self.clock.advance(1)
        self.assertTrue(self.client.aborted)
        self.assertFalse(self.outcomes[0].whole)

    def test_a_file_that_shrinks_is_never_taken_for_whole(self) -> None:
        self.client.send(GET)
        os.truncate(self.path, 200_000)
        self.client.transport.take_all()
        self.assertTrue(self.client.aborted)
        self.assertEqual(self.outcomes, [Sent(200_000, False)])

    def test_a_file_that_was_written_to_is_never_taken_for_whole(self) -> None:
        self.client.send(GET)
        self.changed = True
        self.client.transport.take_all()
        self.assertTrue(self.client.aborted)
        self.assertLess(len(self.client.transport.taken), len(self.data))

    def test_a_file_that_cannot_be_read_is_aborted(self) -> None:
        def fail(*args: object) -> bytes:
            raise OSError(5, "Input/output error")

        self.patch(os, "pread", fail)
        self.client.send(GET)
        self.assertTrue(self.client.aborted)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_it_can_be_cancelled(self) -> None:
        self.client.send(GET)
        self.bodies[0].cancel()
        self.assertFalse(self.outcomes[0].whole)

    def test_for_a_client_that_has_left_nothing_is_read(self) -> None:
        requests: list[Request] = []

        def later(request: Request) -> int:
            requests.append(request)
            return NOT_DONE_YET

        client = Connection(BoundedSite(Recorder(later), self.clock))
        client.send(GET)
        client.transport.abortConnection()
        self.assertEqual(
            self.successResultOf(send_file(requests[0], self.descriptor, 0, 10)), Sent(0, False)
        )
