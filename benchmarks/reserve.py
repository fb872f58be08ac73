"""Bytes that leave per CPU-second when a segment is served again: our peer, our origin, and nginx.

    python benchmarks/reserve.py [--megabytes 2.5] [--requests 400] [--rounds 5]

The same file from three servers on loopback, one kept connection each, in turns. The peer has it as
a verified segment in its cache (fetched and checked before the clock starts); origin and nginx have
it in a folder. CPU time is the server's own, user and system, as the kernel counts it. nginx runs
with sendfile and no access log; where it is not installed the others run alone, and a line says so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import tempfile
from functools import partial
from pathlib import Path

from rivals import HOST, Process, free_port, in_turns, table, twistd

from dashp2p.testing import MemoryFilm

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen {host}:{port}; root {root}; }}
}}
"""


class Reader:
    """One kept connection that asks for a file and throws its bytes away."""

    def __init__(self, port: int, path: str, size_bytes: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        self.size_bytes = size_bytes
        self.buffer = bytearray(1 << 20)

    def get(self) -> None:
        """The whole file, once."""
        self.socket.sendall(self.request)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(4096)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.splitlines()[0].decode())
        left = self.size_bytes - len(head.partition(b"\r\n\r\n")[2])
        while left:
            read = self.socket.recv_into(self.buffer)
            if not read:
                raise SystemExit("the server closed the connection")
            left -= read


def measured(server: Process, reader: Reader, requests: int) -> float:
    """GB per CPU-second of the server."""
    reader.get()
    started_s = server.cpu_s()
    for _ in range(requests):
        reader.get()
    return requests * reader.size_bytes / 1e9 / max(server.cpu_s() - started_s, 0.01)


def start_nginx(folder: Path, root: Path, port: int) -> Process | None:
    """nginx on a folder; None where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        print("nginx is not installed (Debian: apt-get install nginx-light): no rival")
        return None
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, root=root, host=HOST, port=port))
    return Process([program, "-c", str(config)])


def run(folder: Path, options: argparse.Namespace) -> None:
    """Start the servers, let them answer in turns, print the table."""
    root = folder / "root"
    (root / "dash").mkdir(parents=True)
    film = MemoryFilm.make(segments=1, segment_bytes=int(options.megabytes * 1e6))
    for path, data in film.files.items():
        (root / "dash" / path).write_bytes(data)
    path = "/dash/chunk_0_1.m4s"
    size_bytes = len(film.files["chunk_0_1.m4s"])
    ports = {name: free_port() for name in ("peer", "origin", "nginx")}
    servers: dict[str, Process] = {}
    try:
        servers["origin"] = twistd(
            "dashp2p-origin", "--listen", listen(ports["origin"]), "--root", str(root / "dash")
        )
        servers["origin"].wait_for(url(ports["origin"], path))
        servers["peer"] = twistd(
            "dashp2p-peer",
            *("--listen", listen(ports["peer"])),
            *("--exchange", listen(0)),
            *("--origin", url(ports["origin"], "/dash")),
            *("--cache", str(folder / "cache")),
        )
        servers["peer"].wait_for(url(ports["peer"], "/readyz"))
        nginx = start_nginx(folder, root, ports["nginx"])
        if nginx is not None:
            servers["nginx"] = nginx
            nginx.wait_for(url(ports["nginx"], path))
        readers = {name: Reader(ports[name], path, size_bytes) for name in servers}
        figures = in_turns(
            options.rounds,
            {
                name: partial(measured, server, readers[name], options.requests)
                for name, server in servers.items()
            },
        )
    finally:
        for server in servers.values():
            server.stop()
    print(f"{options.requests} times {size_bytes} bytes a round")
    for line in table(figures, "GB per CPU-s", "nginx"):
        print(line)


def listen(port: int) -> str:
    """An endpoint on this machine alone."""
    return f"tcp:{port}:interface={HOST}"


def url(port: int, path: str) -> str:
    """Of a server on this machine."""
    return f"http://{HOST}:{port}{path}"


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=2.5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user
        run(folder, options)


if __name__ == "__main__":
    main()
