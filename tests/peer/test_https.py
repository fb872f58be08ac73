"""Origin and tracker by https with a private authority, over real sockets: --ca, and without."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from dashp2p.peer.origin_client import OriginClient, OriginError
from dashp2p.peer.service import http_client
from dashp2p.peer.tracker_client import TrackerClient, TrackerError

HOST = "localhost"
FILE = bytes(range(256)) * 1000
WELCOME = b'{"v":1,"interval_s":30,"address":"127.0.0.1","peers":[],"swarm_peers":1}'
reactor: Any = global_reactor


class Authority:
    """Signs certificates for servers, as a private one does in a school."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        own = self._certificate(self.name, self.key.public_key())
        usage = x509.BasicConstraints(ca=True, path_length=None)
        certificate = own.add_extension(usage, critical=True).sign(self.key, SHA256())
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _certificate(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        builder = x509.CertificateBuilder(self.name, subject, key, x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(
            now + timedelta(hours=1)
        )

    def server(self, host: str) -> ssl.SSLContext:
        """What a server of that name needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = self._certificate(subject, key.public_key()).add_extension(names, critical=False)
        pem = self.folder / "server.pem"
        pem.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


class _Answers(http.server.SimpleHTTPRequestHandler):
    def do_POST(self) -> None:  # http.server's name
        body = (
            b'{"v":1,"interval_s":30,"ttl_s":75,"address":"127.0.0.1","peers":[],"swarm_peers":1}'
        )
        self.rfile.read(int(self.headers["Content-Length"]))
        moved = self.path.startswith("/moved")
        self.send_response(303 if moved else 200)
        if moved:
            self.send_header("Location", "/dash/announce")
        self.send_header("Content-Length", "0" if moved else str(len(body)))
        self.end_headers()
        if not moved:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


class _Server(http.server.ThreadingHTTPServer):
    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(5.0)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us hangs up."""


class HttpsTests(TestCase):
    timeout = 20.0

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        (self.folder / "root" / "dash").mkdir(parents=True)
        (self.folder / "root" / "dash" / "a.m4s").write_bytes(FILE)
        (self.folder / "root" / "dash" / "announce").write_bytes(WELCOME)
        self.authority = Authority(self.folder, "ours")

    def serve(self, host: str = HOST) -> str:
        """A server with a certificate for that name; its address, by the name localhost."""
        handler = partial(_Answers, directory=str(self.folder / "root"))
        server = _Server(("127.0.0.1", 0), handler)
        context = self.authority.server(host)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self.addCleanup(stop)
        return f"https://{HOST}:{server.server_port}"

    def client(self, ca: Path | None) -> Any:
        http, pool = http_client(reactor, ca)
        self.addCleanup(pool.closeCachedConnections)
        return http

    async def fetch(self, url: str, ca: Path | None) -> bytes:
        origin = OriginClient(self.client(ca), reactor, f"{url}/dash")
        return await origin.fetch_small("a.m4s", len(FILE))

    async def announce(self, url: str, ca: Path | None) -> int:
        tracker = TrackerClient(self.client(ca), reactor, url, bytes(32))
        announced = await tracker.announce(
            bytes(32), "started", 4001, [], 30, 0, 0, bytes(32), {}, {}
        )
        return announced.swarm_peers

    async def refused(self, work: Any, kind: type[Exception]) -> str:
        return str(await self.assertFailure(Deferred.fromCoroutine(work), kind))

    async def test_by_the_private_authority_that_was_given(self) -> None:
        url, ca = self.serve(), self.authority.file
        self.assertEqual(await self.fetch(url, ca), FILE)
        self.assertEqual(await self.announce(url, ca), 1)

    async def test_an_authority_that_nobody_gave(self) -> None:
        url = self.serve()
        self.assertIn("certificate", await self.refused(self.fetch(url, None), OriginError))
        self.assertIn("certificate", await self.refused(self.announce(url, None), TrackerError))

    async def test_another_private_authority(self) -> None:
        url, other = self.serve(), Authority(self.folder, "theirs").file
        self.assertIn("certificate", await self.refused(self.fetch(url, other), OriginError))
        self.assertIn("certificate", await self.refused(self.announce(url, other), TrackerError))

    async def test_a_certificate_for_another_name(self) -> None:
        url, ca = self.serve("elsewhere.test"), self.authority.file
        await self.refused(self.fetch(url, ca), OriginError)
        await self.refused(self.announce(url, ca), TrackerError)

    async def test_the_tracker_redirects_nobody(self) -> None:
        url, ca = self.serve(), self.authority.file
        self.assertIn("303", await self.refused(self.announce(f"{url}/moved", ca), TrackerError))
