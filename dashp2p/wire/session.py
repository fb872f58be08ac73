"""One link between two peers, as seen by one of them, without any input or output.

    for event in session.receive_data(data): ...      # may raise ProtocolError
    session.send(frame)
    transport.writeSequence(session.data_to_send())

It does not know which side dialled. It checks order, limits and that each block asked for is
answered exactly once; it knows no time (deadlines of the handshake and of answers are the
adapter's), no index and no block lengths. The rules are docs/protocol.md.
"""

from __future__ import annotations

import struct
from typing import Final

from attrs import evolve, frozen

from dashp2p.wire import codec
from dashp2p.wire.blockset import WHOLE
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Error,
    Event,
    Frame,
    FrameType,
    GoAway,
    Hashes,
    Have,
    Ping,
    Pong,
    Reject,
    Request,
)
from dashp2p.wire.ledger import BreachError, Ledger
from dashp2p.wire.limits import (
    DATA_HEAD_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_OUTSTANDING_REQUESTS,
    PREFACE_BYTES,
)
from dashp2p.wire.reader import FrameReader, Header, RawFrame
from dashp2p.wire.states import OPENING, Direction, State

MAGIC: Final = b"DSHP"
_PREFACE: Final = struct.Struct(">4sBBI")
_KNOWN: Final[dict[int, FrameType]] = {int(frame_type): frame_type for frame_type in FrameType}


@frozen
class SessionConfig:
    """What this side can do.

    `version_min` and `version_max` bound the protocol versions it speaks; `features` are the
    feature bits it offers (version 1 has none).
    """

    version_min: int = 1
    version_max: int = 1
    features: int = 0


class Session:
    """See the module. After `state` is CLOSED it takes no frames and ignores what arrives."""

    def __init__(self, config: SessionConfig | None = None) -> None:
        self._config = config or SessionConfig()
        self._receiving = Direction(State.PREFACE)
        self._sending = Direction(State.HELLO)
        self._reader = FrameReader(self._admit)
        self._asked = Ledger()
        self._owed = Ledger()
        self._out: list[bytes] = []
        self.version: int | None = None
        """The version both speak, once the other's preface is here."""
        self.features = 0
        """The feature bits that both offer, once the other's preface is here."""
        self.going_away: int | None = None
        """The code of the other's GOAWAY; after it no REQUEST may be sent."""
        self.control_bytes_sent = 0
        self.control_bytes_received = 0
        self.payload_bytes_sent = 0
        """Block bytes of DATA frames; everything else is control."""
        self.payload_bytes_received = 0
        self.frames_received = 0
        """All frames, skipped ones too: for whoever limits their rate."""
        self._queue(
            _PREFACE.pack(
                MAGIC, self._config.version_min, self._config.version_max, self._config.features
            )
        )

    # --- what there is to know ----------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the other side must send next; OPEN in normal operation, CLOSED at the end."""
        return self._receiving.state

    @property
    def is_open(self) -> bool:
        """Whether both sides' HELLO and HAVE have passed and neither has closed."""
        return self._receiving.state is State.OPEN and self._sending.state is State.OPEN

    @property
    def can_request(self) -> bool:
        """Whether `send` would take another REQUEST now."""
        return (
            self.is_open and self.going_away is None and len(self._asked) < MAX_OUTSTANDING_REQUESTS
        )

    @property
    def asked(self) -> Ledger:
        """Our REQUESTs that are not wholly answered. Read it, don't write."""
        return self._asked

    @property
    def owed(self) -> Ledger:
        """The other's REQUESTs that we have not wholly answered. Read it, don't write."""
        return self._owed

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of a frame that is not complete."""
        return self._reader.buffered_bytes

    # --- sending ------------------------------------------------------------------------------

    def send(self, frame: Frame) -> int | None:
        """Queue a frame; for a Request answers the request id that the session gave it.

        A Cancel of a request that is wholly answered is dropped: the answers crossed with it.
        Raises LocalProtocolError, and queues nothing, when the frame is out of order, breaks a
        limit, answers a block twice, or cannot be encoded.
        """
        frame_type = codec.type_of(frame)
        self._check_sending(frame, frame_type)
        if isinstance(frame, Request):
            frame = evolve(frame, request_id=self._asked.free_id())
        if isinstance(frame, Cancel) and self._asked.get(frame.request_id) is None:
            return None
        parts = codec.encode(frame)
        try:
            self._note_sent(frame)
        except BreachError as breach:
            raise LocalProtocolError(f"{frame_type.name}: {breach.text}") from breach
        self._sending.advance(frame_type, frame.count if isinstance(frame, Have) else 0)
        if frame_type is FrameType.ERROR:
            self._close()
        self._queue(parts[0])
        if isinstance(frame, Data):
            self._out.append(frame.data)
            self.payload_bytes_sent += len(frame.data)
        return frame.request_id if isinstance(frame, Request) else None

    def data_to_send(self) -> list[bytes]:
        """Everything queued since the last call, to be written in this order."""
        out, self._out = self._out, []
        return out

    def _check_sending(self, frame: Frame, frame_type: FrameType) -> None:
        state = self._sending.state
        if not self._sending.allows(frame_type):
            raise LocalProtocolError(f"{frame_type.name} may not be sent now ({state.value})")
        if frame_type not in OPENING and self._receiving.state is not State.OPEN:
            raise LocalProtocolError(f"{frame_type.name} may be sent only after the other's HAVE")
        if isinstance(frame, Have):
            if self._receiving.state in (State.PREFACE, State.HELLO):
                raise LocalProtocolError("HAVE may be sent only after the other's HELLO came")
            if state is State.OPEN and frame.count == 0:
                raise LocalProtocolError("a second HAVE must say something")
        if isinstance(frame, Request) and self.going_away is not None:
            raise LocalProtocolError("the other side is leaving and takes no REQUEST")

    def _note_sent(self, frame: Frame) -> None:
        match frame:
            case Data():
                self._owed.data(frame.request_id, frame.segment, frame.blocks)
            case Request():
                self._asked.open(frame.request_id, frame.segment, frame.blocks, frame.hashes)
            case Hashes():
                self._owed.hashes(frame.request_id, frame.segment)
            case Reject():
                self._owed.reject(frame.request_id, frame.segment, frame.blocks)
            case Cancel():
                self._asked.cancel(frame.request_id, frame.segment, frame.blocks)
            case _:
                pass

    def _queue(self, control: bytes) -> None:
        self._out.append(control)
        self.control_bytes_sent += len(control)

    def _close(self) -> None:
        """Nothing more either way; what the reader still has is forgotten unread."""
        self._receiving.state = self._sending.state = State.CLOSED
        self._reader = FrameReader(self._admit)

    # --- receiving ----------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Event]:
        """Take what arrived, in whatever pieces; answers the frames that became complete.

        Reject and Cancel events name their blocks plainly (never WHOLE), and a Cancel only blocks
        that we still owe (perhaps none). A PING has been answered already when it is reported.
        Raises ProtocolError when the other side broke the protocol: the session is CLOSED then,
        `data_to_send` ends with the ERROR to be written before the link is cut, and the events
        that came before the offence are in the exception.
        """
        events: list[Event] = []
        if self._receiving.state is State.CLOSED:
            return events
        self._reader.feed(data)
        try:
            if self._receiving.state is State.PREFACE and not self._read_preface():
                return events
            while (raw := self._reader.next_frame()) is not None:
                events.append(self._receive(raw))
        except ProtocolError as error:
            error.events = tuple(events)
            self._queue(codec.encode(Error(error.code, error.text))[0])
            self._close()
            raise
        return events

    def _read_preface(self) -> bool:
        raw = self._reader.take(PREFACE_BYTES)
        if raw is None:
            return False
        self.control_bytes_received += PREFACE_BYTES
        magic, lowest, highest, features = _PREFACE.unpack(raw)
        if magic != MAGIC:
            raise ProtocolError(Code.BAD_REQUEST, "this is not the dashp2p protocol")
        version = min(highest, self._config.version_max)
        if version < max(lowest, self._config.version_min):
            raise ProtocolError(
                Code.VERSION,
                f"no version in common: here {self._config.version_min} to "
                f"{self._config.version_max}, there {lowest} to {highest}",
            )
        self.version = version
        self.features = features & self._config.features
        self._receiving.state = State.HELLO
        return True

    def _admit(self, header: Header) -> FrameType | None:
        """Judge a frame by its header: its type, None to skip it, or ProtocolError."""
        frame_type = _KNOWN.get(header.type)
        if frame_type is None:
            self._admit_unknown(header)
            return None
        if not self._receiving.allows(frame_type):
            state = self._receiving.state.value
            raise ProtocolError(Code.BAD_REQUEST, f"{frame_type.name} may not come now ({state})")
        if frame_type not in OPENING and self._sending.state is not State.OPEN:
            raise ProtocolError(Code.BAD_REQUEST, f"{frame_type.name} came before our HAVE")
        if header.length > codec.MAX_PAYLOAD_BYTES[frame_type]:
            raise ProtocolError(Code.TOO_LARGE, f"{frame_type.name} is too long")
        if frame_type is FrameType.DATA and header.length < DATA_HEAD_BYTES:
            raise ProtocolError(Code.BAD_REQUEST, "DATA is shorter than its fields")
        if header.request_id and frame_type not in codec.WITH_REQUEST_ID:
            raise ProtocolError(Code.BAD_REQUEST, f"{frame_type.name} has no request id")
        if frame_type in codec.ANSWERS and self._asked.get(header.request_id) is None:
            raise ProtocolError(Code.BAD_REQUEST, f"{frame_type.name} answers no open request")
        return frame_type

    def _admit_unknown(self, header: Header) -> None:
        if header.flags & codec.CRITICAL:
            raise ProtocolError(Code.BAD_REQUEST, f"frame type {header.type} is not known here")
        if self._receiving.state is State.HELLO:
            raise ProtocolError(Code.BAD_REQUEST, "the first frame must be HELLO")
        if header.length > MAX_FRAME_BYTES:
            raise ProtocolError(Code.TOO_LARGE, f"frame type {header.type} is too long")
        self.control_bytes_received += HEADER_BYTES + header.length
        self.frames_received += 1

    def _receive(self, raw: RawFrame) -> Event:
        self.frames_received += 1
        self.control_bytes_received += HEADER_BYTES + len(raw.head)
        try:
            if raw.type is FrameType.DATA:
                self.payload_bytes_received += len(raw.body)
                data = codec.decode_data(raw.request_id, raw.head, raw.body)
                self._asked.data(data.request_id, data.segment, data.blocks)
                return data
            self.control_bytes_received += len(raw.body)
            frame = codec.decode(raw.type, raw.request_id, raw.body)
            return self._note_received(frame, raw.type)
        except BreachError as breach:
            text = f"{raw.type.name}: {breach.text}"
            raise ProtocolError(breach.code, text) from breach

    def _note_received(self, frame: Frame, frame_type: FrameType) -> Event:
        have_count = 0
        match frame:
            case Request():
                self._owed.open(frame.request_id, frame.segment, frame.blocks, frame.hashes)
            case Hashes():
                self._asked.hashes(frame.request_id, frame.segment)
            case Reject():
                blocks = self._asked.reject(frame.request_id, frame.segment, frame.blocks)
                if frame.blocks == WHOLE:
                    frame = evolve(frame, blocks=blocks)
            case Cancel():
                blocks = self._owed.cancel(frame.request_id, frame.segment, frame.blocks)
                frame = evolve(frame, blocks=blocks)
            case Have():
                have_count = self._check_have(frame)
            case Ping():
                self._queue(codec.encode(Pong(frame.token))[0])
            case GoAway():
                self.going_away = frame.code
            case Error():
                self._close()
                return frame
            case _:
                pass
        self._receiving.advance(frame_type, have_count)
        return frame

    def _check_have(self, have: Have) -> int:
        if self._sending.state is State.HELLO:
            raise ProtocolError(Code.BAD_REQUEST, "HAVE came before our HELLO was sent")
        if self._receiving.state is State.OPEN and have.count == 0:
            raise ProtocolError(Code.BAD_REQUEST, "a second HAVE says nothing")
        return have.count
