"""--as-local reaches the listeners of each daemon, and only those that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.options import DaemonOptions
from dashp2p.origin import tap as origin
from dashp2p.peer import tap as peer
from dashp2p.tracker import tap as tracker
from dashp2p.web.site import BoundedSite
from tests.web.support import STRANGER, Answer, Connection


class AsLocalTests(SynchronousTestCase):
    """A container's host asks for figures."""

    def code(self, daemon: Any, *arguments: str) -> int:
        """What the daemon answers to somebody at STRANGER who asks for its figures."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        options: DaemonOptions = daemon.Options()
        options.environ = {
            "DASHP2P_ROOT": str(folder),
            "DASHP2P_CACHE": str(folder),
            "DASHP2P_TICKET_KEY": str(folder / "ticket.key"),
        }
        options.parseOptions(list(arguments))
        reactor = MemoryReactorClock()
        service: IService = daemon.makeService(options, reactor)
        service.privilegedStartService()
        self.addCleanup(service.stopService)
        site = next(each[1] for each in reactor.tcpServers if isinstance(each[1], BoundedSite))
        connection = Connection(site, STRANGER)
        connection.send(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        return Answer(connection.transport.take_all()).code

    def test_it_is_answered_by_all_three_and_nobody_else_is(self) -> None:
        for daemon in (origin, tracker, peer):
            self.assertEqual(self.code(daemon), 403, daemon)
            self.assertEqual(self.code(daemon, "--as-local", STRANGER.host), 200, daemon)
            self.assertEqual(self.code(daemon, "--as-local", "198.51.100.9"), 403, daemon)
