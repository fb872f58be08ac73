"""The kernel sends files: over real sockets, for nothing else has a descriptor to send to."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.web.file_response import Sent, send_file
from dashp2p.web.limits import MIN_SENDFILE_BYTES, SiteLimits
from dashp2p.web.sendfile import SocketSender, socket_sender
from dashp2p.web.site import BoundedSite
from tests.web.support import Answer, Connection, Recorder

reactor: Any = global_reactor

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
SIZE = 6_000_007
"""More than a socket and the kernel's queues hold, so that it cannot go out in one turn."""


def sockets() -> int:
    """How many of this process's descriptors are sockets."""
    folder = Path("/proc/self/fd")
    links = [os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


class SendfileTestCase(TestCase):
    """A file, a site that serves it, and clients with sockets of their own."""

    limits = SiteLimits()
    timeout = 60

    def setUp(self) -> None:
        self.data = os.urandom(SIZE)
        self.path = self.mktemp()
        with open(self.path, "wb") as file:
            file.write(self.data)
        self.descriptor = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.descriptor)
        self.first, self.size = 0, SIZE
        self.unchanged: Callable[[], bool] = lambda: True
        self.outcomes: list[Sent] = []
        self.ended: Deferred[None] = Deferred()
        self.sent_by_kernel = 0
        self._count_what_the_kernel_sends()
        self.site = BoundedSite(Recorder(self.answer), reactor, limits=self.limits)
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(lambda: self.site.drain(1.0))
        self.addCleanup(self.port.stopListening)

    def _count_what_the_kernel_sends(self) -> None:
        sendfile = os.sendfile

        def counting(*args: int) -> int:
            size_bytes = sendfile(*args)
            self.sent_by_kernel += size_bytes
            return size_bytes

        self.patch(os, "sendfile", counting)

    def answer(self, request: Request) -> int:
        request.setHeader(b"Content-Length", b"%d" % self.size)
        body = send_file(
            request, self.descriptor, self.first, self.size, unchanged=lambda: self.unchanged()
        )

        def finish(sent: Sent) -> None:
            self.outcomes.append(sent)
            if sent.whole:
                request.finish()
            if not self.ended.called:
                self.ended.callback(None)

        body.addCallback(finish)
        return NOT_DONE_YET

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        client.settimeout(10)
        self.addCleanup(client.close)
        return client

    async def asked(self) -> socket.socket:
        """A client that has sent its request, and reads nothing yet."""
        client = self.connect()
        client.sendall(GET)
        while not self.sent_by_kernel:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.05)
        return client

    async def read(self, client: socket.socket, size_bytes: int) -> bytes:
        """That many bytes of an answer's body, or what comes until the connection ends."""

        def receive() -> bytes:
            data = b""
            while len(data.partition(b"\r\n\r\n")[2]) < size_bytes:
                try:
                    piece = client.recv(1 << 20)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                data += piece
            return data

        return Answer(await deferToThread(receive)).body


class SendfileTests(SendfileTestCase):
    async def test_a_file_arrives_whole_and_all_of_it_by_the_kernel(self) -> None:
        client = self.connect()
        client.sendall(GET)
        self.assertEqual(await self.read(client, SIZE), self.data)
        await self.ended
        self.assertEqual(self.outcomes, [Sent(SIZE, True)])
        self.assertEqual(self.sent_by_kernel, SIZE)

    async def test_a_part_arrives(self) -> None:
        self.first, self.size = 1_000_001, 3_000_000
        client = self.connect()
        client.sendall(GET)
        self.assertEqual(await self.read(client, self.size), self.data[1_000_001:4_000_001])
        self.assertGreater(self.sent_by_kernel, 0)

    async def test_the_next_request_on_the_connection_is_answered_too(self) -> None:
        client = self.connect()
        for _ in range(2):
            client.sendall(GET)
            self.assertEqual(await self.read(client, SIZE), self.data)
        self.assertEqual(self.sent_by_kernel, 2 * SIZE)

    async def test_pipelined_answers_come_one_after_the_other(self) -> None:
        self.size = 100_000
        client = self.connect()
        client.sendall(GET * 3)
        answers = await self.read(client, 3 * self.size + 2 * 100)
        self.assertEqual(answers.count(self.data[: self.size]), 3)

    async def test_a_small_file_is_not_worth_it(self) -> None:
        self.size = MIN_SENDFILE_BYTES - 1
        client = self.connect()
        client.sendall(GET)
        self.assertEqual(await self.read(client, self.size), self.data[: self.size])
        self.assertEqual(self.sent_by_kernel, 0)

    async def test_a_client_that_reads_nothing_holds_it_up(self) -> None:
        client = await self.asked()
        sent = self.sent_by_kernel
        self.assertLess(sent, SIZE)
        await deferLater(reactor, 0.1)
        self.assertEqual(self.sent_by_kernel, sent)
        self.assertEqual(await self.read(client, SIZE), self.data)

    async def test_a_client_that_leaves_ends_it(self) -> None:
        client = await self.asked()
        client.close()
        await self.ended
        [outcome] = self.outcomes
        self.assertFalse(outcome.whole)
        self.assertLess(outcome.sent_bytes, SIZE)

    async def test_no_descriptor_is_left_open(self) -> None:
        before = sockets()
        for _ in range(3):
            client = await self.asked()
            client.close()
            await self.ended
            self.ended, self.sent_by_kernel = Deferred(), 0
        while self.site.connections:
            await deferLater(reactor, 0.01)
        self.assertEqual(sockets(), before)

    async def test_a_file_that_was_written_to_is_never_taken_for_whole(self) -> None:
        client = await self.asked()
        self.unchanged = lambda: False
        body = await self.read(client, SIZE)
        self.assertLess(len(body), SIZE)
        self.assertFalse(self.outcomes[0].whole)

    async def test_a_file_that_shrinks_is_never_taken_for_whole(self) -> None:
        client = await self.asked()
        os.truncate(self.path, self.sent_by_kernel + 1000)
        self.assertLess(len(await self.read(client, SIZE)), SIZE)
        self.assertFalse(self.outcomes[0].whole)

    async def test_where_the_system_refuses_the_bytes_go_by_themselves(self) -> None:
        def refuse(*args: int) -> int:
            raise OSError(22, "Invalid argument")

        self.patch(os, "sendfile", refuse)
        client = self.connect()
        client.sendall(GET)
        self.assertEqual(await self.read(client, SIZE), self.data)
        self.assertEqual(self.outcomes, [Sent(SIZE, True)])

    async def test_what_the_transport_still_has_goes_first(self) -> None:
        def mixed(request: Request) -> int:
            request.setHeader(b"Content-Length", b"%d" % (4_000_000 + SIZE))
            request.write(b"x" * 4_000_000)
            body = send_file(request, self.descriptor, 0, SIZE)
            body.addCallback(lambda sent: request.finish())
            return NOT_DONE_YET

        self.site.resource = Recorder(mixed)
        client = self.connect()
        client.sendall(GET)
        body = await self.read(client, 4_000_000 + SIZE)
        self.assertTrue(body == b"x" * 4_000_000 + self.data)
        self.assertGreater(self.sent_by_kernel, 0)


class StalledTests(SendfileTestCase):
    limits = SiteLimits(stalled_s=0.6, idle_s=0.6)

    async def test_a_client_that_stalls_is_given_up(self) -> None:
        await self.asked()
        await self.ended
        self.assertFalse(self.outcomes[0].whole)


class ElsewhereTests(TestCase):
    def test_a_transport_without_a_descriptor_is_left_alone(self) -> None:
        senders: list[SocketSender | None] = []

        def answer(request: Request) -> int:
            senders.append(
                socket_sender(
                    request,
                    lambda: self.fail("no file is needed"),
                    0,
                    SIZE,
                    unchanged=lambda: True,
                    ended=lambda size: None,
                )
            )
            return NOT_DONE_YET

        client = Connection(BoundedSite(Recorder(answer), reactor))
        client.send(GET)
        client.transport.abortConnection()
        self.assertEqual(senders, [None])
