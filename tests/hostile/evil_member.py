"""Somebody with a key of his own who talks to the tracker as peers do, and as they don't."""

from __future__ import annotations

import http.client
import json
import time
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.tickets import sign_announce

ANSWER_S = 10.0


def evil_key(name: str) -> Ed25519PrivateKey:
    """Always the same for one name."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


@define(eq=False)
class EvilMember:
    """`announce` and `lease` answer with status and JSON; `ticket` is what the tracker gave."""

    tracker_url: str
    swarm: bytes
    name: str = "evil"
    ticket: str | None = None
    headers: dict[str, str] = field(factory=dict)
    """Sent with announces, besides those that are needed."""
    key: Ed25519PrivateKey = field(init=False)
    body: bytes = field(default=b"", init=False)
    """Of the last announce, with `signature`."""
    signature: str = field(default="", init=False)

    @key.default
    def _its_key(self) -> Ed25519PrivateKey:
        return evil_key(self.name)

    @property
    def peer(self) -> bytes:
        return peer_id(public_bytes(self.key))

    def join(self) -> EvilMember:
        """As any peer does; AssertionError without a ticket."""
        code, answer = self.announce()
        assert code == 200 and answer["ticket"], (code, answer)
        return self

    def announce(self, **changes: Any) -> tuple[int, Any]:
        """It listens nowhere, so nobody is sent to it, unless `changes` say otherwise."""
        message = {
            "v": 1,
            "swarm": self.swarm.hex(),
            "peer": self.peer.hex(),
            "ticket_key": public_bytes(self.key).hex(),
            "port": 0,
            "private": [],
            "event": "started",
            "wanted": 30,
            "signed_ms": int(time.time() * 1000),
            **changes,
        }
        self.body = json.dumps(message).encode()
        self.signature = sign_announce(self.key, self.body)
        return self.repeat()

    def repeat(self) -> tuple[int, Any]:
        """The last announce, byte by byte."""
        headers = {"Dashp2p-Signature": self.signature, **self.headers}
        code, answer = self.post("/announce", self.body, headers)
        if code == 200:
            self.ticket = answer["ticket"]
        return code, answer

    def lease(self, *segments: int, blocks: int = 20, **changes: Any) -> tuple[int, Any]:
        """Ask for these."""
        message = {
            "v": 1,
            "swarm": self.swarm.hex(),
            "peer": self.peer.hex(),
            "ticket": self.ticket,
            "want": [
                {"segment": segment, "blocks": blocks, "hedge": False, "size_bytes": 300_000}
                for segment in segments
            ],
            **changes,
        }
        return self.post("/lease", json.dumps(message).encode(), {})

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        """Any body, to the tracker."""
        connection = http.client.HTTPConnection(urlsplit(self.tracker_url).netloc, timeout=ANSWER_S)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        finally:
            connection.close()
