"""Calls to a tracker's HTTP face: how many it serves per CPU-second of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from rivals import HOST, Process

CONNECTIONS = 32

Call = Callable[[int], bytes]
"""The whole HTTP request of a call, by the call's number."""
Told = Callable[[int, bytes], None]
"""Looks at the body that a call was answered with; SystemExit where it is not what it must be."""


@dataclass
class Server:
    """A program that takes calls."""

    process: Process
    port: int


class Connection:
    """One kept connection; one call at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer(self) -> bytes:
        """The body of the answer to what was sent."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        headers, _, rest = data.partition(b"\r\n\r\n")
        length = int(headers.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(rest) < length:
            rest += self._more()
        if not headers.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{headers.splitlines()[0].decode()} {rest.decode()}")
        return rest

    def _more(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise SystemExit("the tracker closed the connection")
        return data


def served(server: Server, numbers: range, call: Call, told: Told) -> float:
    """Calls per CPU-second, over new connections that are kept for all of them.

    The client works while the server waits, so that neither its work nor an idle moment counts.
    """
    connections = [Connection(server.port) for _ in range(CONNECTIONS)]
    began_s = server.process.cpu_s()
    for first in range(numbers.start, numbers.stop, CONNECTIONS):
        turn = list(zip(range(first, numbers.stop), connections, strict=False))
        for number, connection in turn:
            connection.socket.sendall(call(number))
        for number, connection in turn:
            told(number, connection.answer())
    cpu_s = server.process.cpu_s() - began_s
    for connection in connections:
        connection.socket.close()
    return len(numbers) / max(cpu_s, 0.01)


def post(port: int, path: str, body: bytes, header: str = "") -> bytes:
    """A call of JSON; `header` is one more line of it, with its end."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{header}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body
