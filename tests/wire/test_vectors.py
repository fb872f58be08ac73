"""docs/protocol.md against the code: its hex vectors, its limits, its states."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import codec, limits
from dashp2p.wire.blockset import decode_blocks, encode_blocks
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Event, Frame, FrameType
from dashp2p.wire.reader import FrameReader
from dashp2p.wire.session import Session
from dashp2p.wire.states import NEXT, State
from tests.wire import vectors
from tests.wire.helpers import STATES, deliver, receiver_in, ways_to_deliver
from tests.wire.vectors import (
    FRAME_CLASSES,
    blocks_from_text,
    frame_from_json,
    frame_to_json,
    read_vectors,
    table_rows,
)


def decode_alone(raw: bytes) -> Frame:
    """One frame as its bytes decode, without a session around it."""
    reader = FrameReader(lambda header: FrameType(header.type))
    reader.feed(raw)
    frame = reader.next_frame()
    assert frame is not None, "the frame is incomplete"
    assert reader.next_frame() is None
    assert reader.buffered_bytes == 0, "bytes are left over"
    if frame.type is FrameType.DATA:
        return codec.decode_data(frame.request_id, frame.head, frame.body)
    return codec.decode(frame.type, frame.request_id, frame.body)


class BlockSetVectors(SynchronousTestCase):
    def test_every_block_set_decodes_to_what_the_document_says(self) -> None:
        entries = read_vectors("blocksets")
        self.assertGreaterEqual(len(entries), 8)
        for entry in entries:
            expected = blocks_from_text(entry.meaning.removeprefix("blocks:").strip())
            self.assertEqual(decode_blocks(entry.raw, 0), (expected, len(entry.raw)), entry.title)

    def test_every_block_set_in_shortest_form_encodes_to_its_bytes(self) -> None:
        for entry in read_vectors("blocksets"):
            blocks = blocks_from_text(entry.meaning.removeprefix("blocks:").strip())
            if "not in the shortest form" not in entry.title:
                self.assertEqual(encode_blocks(blocks).hex(), entry.raw.hex(), entry.title)


class FrameVectors(SynchronousTestCase):
    def test_every_valid_vector_decodes_and_encodes(self) -> None:
        for entry in read_vectors("valid"):
            frame = frame_from_json(entry.meaning)
            self.assertEqual(decode_alone(entry.raw), frame, entry.title)
            self.assertEqual(b"".join(codec.encode(frame)).hex(), entry.raw.hex(), entry.title)

    def test_the_lenient_vectors_decode(self) -> None:
        entries = read_vectors("lenient")
        self.assertTrue(entries)
        for entry in entries:
            self.assertEqual(decode_alone(entry.raw), frame_from_json(entry.meaning), entry.title)

    def test_every_frame_type_has_a_valid_vector(self) -> None:
        shown = {type(frame_from_json(entry.meaning)) for entry in read_vectors("valid")}
        self.assertEqual(shown, set(FRAME_CLASSES.values()))

    def test_the_json_of_a_vector_says_the_whole_frame(self) -> None:
        for entry in read_vectors("valid"):
            self.assertEqual(frame_to_json(frame_from_json(entry.meaning)), entry.meaning)


class InvalidVectors(SynchronousTestCase):
    def test_every_invalid_vector_closes_with_its_code_however_it_is_cut(self) -> None:
        for entry in read_vectors("invalid"):
            state, code = self._meaning(entry.meaning)
            whole = deliver(receiver_in(state), [entry.raw])
            self.assertEqual(whole.code, code, entry.title)
            for way, pieces in ways_to_deliver(entry.raw):
                outcome = deliver(receiver_in(state), pieces)
                self.assertEqual(outcome, whole, f"{entry.title}, {way}")

    def test_the_answer_to_every_invalid_vector_is_one_error_frame_with_its_code(self) -> None:
        for entry in read_vectors("invalid"):
            state, code = self._meaning(entry.meaning)
            answer = decode_alone(deliver(receiver_in(state), [entry.raw]).answer)
            self.assertEqual((type(answer).__name__, getattr(answer, "code", 0)), ("Error", code))

    def test_the_document_has_invalid_vectors_for_every_state(self) -> None:
        shown = {self._meaning(entry.meaning)[0] for entry in read_vectors("invalid")}
        self.assertEqual(shown, set(STATES))

    def _meaning(self, line: str) -> tuple[str, Code]:
        state, _, code = line.partition(", code ")
        return state.removeprefix("state "), Code(int(code))


class DialogueVectors(SynchronousTestCase):
    def test_two_sessions_speak_the_dialogue_byte_for_byte(self) -> None:
        sides = {"A": Session(), "B": Session()}
        for entry in read_vectors("dialogue"):
            name = entry.title[0]
            sender, receiver = sides[name], sides["B" if name == "A" else "A"]
            expected: list[Event] = []
            if entry.meaning != "null":
                expected = [frame_from_json(entry.meaning)]
                sender.send(expected[0])
            sent = b"".join(sender.data_to_send())
            self.assertEqual(sent.hex(), entry.raw.hex(), entry.title)
            events = receiver.receive_data(sent)
            if "CANCEL" not in entry.title:  # whose event names only blocks still owed
                self.assertEqual(events, expected, entry.title)
        self.assertEqual((len(sides["A"].asked), len(sides["B"].owed)), (0, 0))


class DocumentedTables(SynchronousTestCase):
    def test_the_limits_table_is_limits_py(self) -> None:
        documented = {
            row[2]: int(row[1])
            for row in table_rows("12. Limits")
            if len(row) == 3 and row[1].isdigit()
        }
        constants = {name: value for name, value in vars(limits).items() if isinstance(value, int)}
        self.assertEqual(documented, constants)

    def test_the_longest_payloads_are_those_of_the_codec(self) -> None:
        documented = {
            row[0]: int(row[1])
            for row in table_rows("12. Limits")
            if len(row) == 2 and row[1].isdigit()
        }
        self.assertEqual(
            documented, {key.name: value for key, value in codec.MAX_PAYLOAD_BYTES.items()}
        )

    def test_the_codes_table_is_the_enumeration(self) -> None:
        documented = {
            row[1].upper().replace(" ", "_"): int(row[0])
            for row in table_rows("7. Codes")
            if row[0].isdigit()
        }
        self.assertEqual(documented, {code.name: int(code) for code in Code})

    def test_the_state_table_is_the_one_that_both_directions_obey(self) -> None:
        documented: dict[State, dict[FrameType, State]] = {state: {} for state in State}
        for state, cell, after in table_rows("11. States")[2:]:
            if state == "preface":
                continue
            for name in cell.partition(" (")[0].split(", "):
                documented[State(state)][FrameType[name]] = State(after)
        self.assertEqual(documented, NEXT)

    def test_the_frame_headings_name_the_type_bytes(self) -> None:
        text = vectors.PROTOCOL_MD.read_text()
        for frame_type in FrameType:
            self.assertIn(f"{int(frame_type)} {frame_type.name}", text)
