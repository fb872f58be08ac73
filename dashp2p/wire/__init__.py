"""Bytes to frames to session events. Knows no socket, no clock and no Twisted.

`frames` are the vocabulary, `blockset` the sets of blocks in them, `Session` one link, `limits`
every bound. The specification is docs/protocol.md.
"""

from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.session import Session, SessionConfig
from dashp2p.wire.states import State

__all__ = ["Code", "LocalProtocolError", "ProtocolError", "Session", "SessionConfig", "State"]
