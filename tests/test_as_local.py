"""--as-local reaches the listeners of each daemon, and lets nobody else see figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

    def service(self, daemon: Any, *arguments: str) -> Any:
        """A daemon's service as its options make it, with a folder of its own; not started."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        options: DaemonOptions = daemon.Options()
        options.environ = {
            "DASHP2P_ROOT": str(folder),
            "DASHP2P_CACHE": str(folder),
            "DASHP2P_TICKET_KEY": str(folder / "ticket.key"),
        }
        options.parseOptions(list(arguments))
        return daemon.makeService(options, MemoryReactorClock())

    def origin_site(self, *arguments: str) -> BoundedSite:
        site: BoundedSite = self.service(origin, *arguments).files.site
        return site

    def tracker_site(self, *arguments: str) -> BoundedSite:
        site: BoundedSite = self.service(tracker, *arguments).listeners[0].site
        return site

    def peer_site(self, *arguments: str) -> BoundedSite:
        service = self.service(peer, *arguments)
        service.privilegedStartService()  # it builds its parts only then
        self.addCleanup(service.stopService)
        site: BoundedSite = service._players.site
        return site

    def test_it_is_answered_by_all_three_and_nobody_else_is(self) -> None:
        for site in (self.origin_site, self.tracker_site, self.peer_site):
            for arguments, code in (
                ((), 403),
                (("--as-local", STRANGER.host), 200),
                (("--as-local", "198.51.100.9"), 403),
            ):
                connection = Connection(site(*arguments), STRANGER)
                connection.send(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                answer = Answer(connection.transport.take_all())
                self.assertEqual(answer.code, code, f"{site.__name__} {arguments}")
