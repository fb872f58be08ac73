"""Other trackers for tracker_announce.py: the one that npm has, and the least with Twisted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote_from_bytes

from calls import Server
from rivals import HOST, Process, free_port

BITTORRENT_TRACKER = "bittorrent-tracker@11.2.3"

# Its own limit of 1000 peers a swarm would leave it less to look through than the others.
BITTORRENT = """
import Server from 'bittorrent-tracker/server'
const [peers, port, host] = process.argv.slice(2)
new Server({udp: false, ws: false, peersCacheLength: 2 * peers}).listen(+port, host)
"""

PLAIN = """
import json, random, sys
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site
class Announce(Resource):
    isLeaf = True
    def __init__(self):
        Resource.__init__(self)
        self.peers, self.names = {}, []
    def render_GET(self, request):
        return b""
    def render_POST(self, request):
        fields = json.loads(request.content.read())
        name = fields["peer"]
        if name not in self.peers:
            self.names.append(name)
        host = request.getClientAddress().host
        self.peers[name] = {"peer": name, "host": host, "port": fields["port"]}
        chosen = random.sample(self.names, min(fields["wanted"], len(self.names)))
        told = [self.peers[name] for name in chosen]
        request.setHeader(b"Content-Type", b"application/json")
        answer = {"v": 1, "interval_s": 120, "peers": told, "swarm_peers": len(self.peers)}
        return json.dumps(answer, separators=(",", ":")).encode()
reactor.listenTCP(int(sys.argv[1]), Site(Announce()), interface=sys.argv[2])
reactor.run()
"""


def plain_resource() -> Server:
    """A Resource that reads the JSON, writes a dict and answers with 30 of it: no limits, no proof,
    no leases, nobody near first.
    """
    port = free_port()
    process = Process([sys.executable, "-c", PLAIN, str(port), HOST])
    process.wait_for(f"http://{HOST}:{port}/")
    return Server(process, port)


class BittorrentTracker:
    """bittorrent-tracker of npm, by HTTP."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @classmethod
    def start(cls, folder: Path, peers: int) -> BittorrentTracker | None:
        """Fetched into a folder, with room for so many peers; None where it can't be had."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            print("node and npm are not installed: bittorrent-tracker is left out")
            return None
        flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
        install = [npm, "install", *flags, "--prefix", str(folder), BITTORRENT_TRACKER]
        if subprocess.run(install, capture_output=True).returncode:
            print("npm can't fetch bittorrent-tracker (no network?): it is left out")
            return None
        program = folder / "tracker.mjs"
        program.write_text(BITTORRENT)
        port = free_port()
        process = Process([node, str(program), str(peers), str(port), HOST])
        process.wait_for(f"http://{HOST}:{port}/stats")
        return cls(Server(process, port))

    def announce(self, number: int, event: str = "") -> bytes:
        """As a BitTorrent client announces itself (BEP 3, 23)."""
        swarm = quote_from_bytes(sha256(b"swarm").digest()[:20], safe="")
        peer = quote_from_bytes(sha256(b"peer %d" % number).digest()[:20], safe="")
        query = (
            f"info_hash={swarm}&peer_id={peer}&port={1024 + number}&uploaded=123456789"
            f"&downloaded=123456789&left=123456789&numwant=30&compact=1{event}"
        )
        return f"GET /announce?{query} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode("ascii")

    def started(self, number: int) -> bytes:
        """A peer's first announce."""
        return self.announce(number, "&event=started")


def bittorrent_counts(answer: bytes) -> tuple[int, int]:
    """Peers in its swarm, and peers told, by a bencoded answer."""
    size = int(answer.partition(b"10:incompletei")[2].partition(b"e")[0])
    told = answer.partition(b"5:peers")[2].partition(b":")[0]
    return size, int(told) // 6
