"""Calls are read strictly: each bound, one by one, and what is unknown is ignored."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker import limits
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.messages import Event, Mark, Progress, read_announce, read_lease
from tests.tracker.support import SWARM, announce_fields, lease_fields, peer_id, want


class MessageCase(SynchronousTestCase):
    def refused(self, read: Any, fields: Any, status: int = 400) -> str:
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        error = self.assertRaises(Refused, read, body)
        self.assertEqual(error.status, status)
        sentence: str = error.sentence
        self.assertTrue(sentence)
        return sentence


class AnnounceTests(MessageCase):
    def read(self, **changes: Any) -> Any:
        return read_announce(json.dumps(announce_fields(7, **changes)).encode())

    def refuse(self, **changes: Any) -> str:
        return self.refused(read_announce, announce_fields(7, **changes))

    def test_a_full_announce_is_read(self) -> None:
        announce = self.read(
            private=["10.0.0.5:4001", "127.0.0.1:4001", "10.0.0.5:4001", "[fd00::5]:4001"],
            event="started",
            wanted=12,
            upload_bps=20_000_000,
            have=3,
            stats={"cache_bytes": 5, "buffer_s": 1.5},
            ticket_key="ab" * 32,
            something_new={"unknown": True},
        )
        self.assertEqual((announce.swarm, announce.peer, announce.port), (SWARM, peer_id(7), 4007))
        self.assertEqual(
            [str(each) for each in announce.private], ["10.0.0.5:4001", "[fd00::5]:4001"]
        )
        self.assertEqual((announce.event, announce.wanted), (Event.STARTED, 12))
        self.assertEqual((announce.upload_bps, announce.have), (20_000_000, 3))
        self.assertEqual(announce.stats, {"cache_bytes": 5, "buffer_s": 1.5})
        self.assertEqual(announce.ticket_key, b"\xab" * 32)

    def test_little_need_be_said(self) -> None:
        announce = self.read()
        self.assertEqual((announce.event, announce.wanted), (Event.UPDATE, 30))
        self.assertEqual((announce.private, announce.stats), ((), {}))

    def test_what_is_not_a_json_object_is_refused(self) -> None:
        for body in (
            b"",
            b"[]",
            b"null",
            b"{",
            b"\xff",
            b"[" * 8000,
            b'{"v":' + b"9" * 8000 + b"}",
        ):
            self.refused(read_announce, body)

    def test_another_version_is_refused(self) -> None:
        for version in (0, 2, True, "1", None, 1.0):
            self.assertIn("version", self.refuse(v=version))

    def test_a_body_of_more_than_8_kib_is_refused(self) -> None:
        fields = announce_fields(7, padding="x" * limits.MAX_ANNOUNCE_BYTES)
        self.refused(read_announce, fields, 413)

    def test_ids_are_64_lower_case_hex_digits(self) -> None:
        for bad in (
            "",
            "ab",
            "AB" * 32,
            "zz" * 32,
            "ab" * 33,
            7,
            None,
            ["ab" * 32],
            " " + "a" * 63,
        ):
            self.assertIn('"swarm"', self.refuse(swarm=bad))
            self.assertIn('"peer"', self.refuse(peer=bad))
        self.assertIn('"ticket_key"', self.refuse(ticket_key="ab"))

    def test_whole_numbers_are_ints_in_their_range(self) -> None:
        for name, highest in (
            ("port", 65_535),
            ("wanted", limits.MAX_PEERS_TOLD),
            ("upload_bps", limits.MAX_BPS),
            ("have", limits.MAX_SEGMENT + 1),
        ):
            self.read(**{name: 0})
            self.read(**{name: highest})
            bad: Any
            for bad in (-1, highest + 1, True, 1.0, "1", [], {}):
                self.assertIn(f'"{name}"', self.refuse(**{name: bad}))

    def test_a_port_must_be_told(self) -> None:
        fields = announce_fields(7)
        del fields["port"]
        self.refused(read_announce, fields)

    def test_events_are_three(self) -> None:
        bad: Any
        for bad in ("", "begun", 1, None, [], {}):
            self.assertIn('"event"', self.refuse(event=bad))

    def test_private_addresses_are_at_most_eight_and_addresses(self) -> None:
        self.refuse(private=[f"10.0.0.{n}:4001" for n in range(9)])
        bad: Any
        for bad in ("10.0.0.5:4001", [4001], ["host:4001"], ["1" * 100], {"a": 1}, [None]):
            self.assertIn('"private"', self.refuse(private=bad))

    def test_who_served_is_a_few_ids_with_counts(self) -> None:
        most = {f"{n:016x}": n for n in range(limits.MAX_SERVED_BY)}
        self.assertEqual(self.read(served_by=most).served_by, most)
        self.assertEqual(self.read().served_by, {})
        refused: tuple[object, ...] = (
            {f"{n:016x}": n for n in range(limits.MAX_SERVED_BY + 1)},
            {"ab": 1},
            {"": 1},
            {"ab" * 8: 1, "": 2},
            {"ab" * 8 + "," + "cd" * 8: 1},
            {"AB" * 8: 1},
            {"ab" * 8: -1},
            {"ab" * 8: 1.5},
            {"ab" * 8: True},
            {"ab" * 8: 2**53 + 1},
            [],
            "x",
        )
        for bad in refused:
            self.assertRaises(Refused, self.read, served_by=bad)

    def test_stats_are_a_few_named_finite_numbers(self) -> None:
        self.read(stats={f"name_{n}": n for n in range(limits.MAX_STATS)})
        for bad in (
            {f"name_{n}": n for n in range(limits.MAX_STATS + 1)},
            {"x" * 41: 1},
            {"Name": 1},
            {"": 1},
            {"name": "1"},
            {"name": True},
            {"name": None},
            {"name": {"deep": 1}},
            {"name": 10**400},
            {"name": float("nan")},
            {"name": float("inf")},
            [1],
        ):
            self.refuse(stats=bad)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["v", "stats", "x"]), inner, max_size=3)
            ),
        ),
        st.sampled_from(["v", "swarm", "peer", "port", "private", "event", "stats", "wanted"]),
    )
    def test_nothing_but_a_refusal_comes_of_nonsense(self, value: Any, name: str) -> None:
        body = json.dumps(announce_fields(7, **{name: value})).encode()
        try:
            read_announce(body)
        except Refused as refused:
            self.assertIn(refused.status, (400, 413))


class LeaseTests(MessageCase):
    def read(self, **lists: Any) -> Any:
        return read_lease(json.dumps(lease_fields(7, **lists)).encode())

    def refuse(self, **lists: Any) -> str:
        return self.refused(read_lease, lease_fields(7, **lists))

    def test_a_full_call_is_read(self) -> None:
        call = self.read(
            want=[
                want(3, missing="c0", hedge=True, path="chunk_0_1.m4s", refused=["ab" * 32]),
                want(4),
            ],
            progress=[{"segment": 1, "epoch": 9, "blocks_done": 4}],
            done=[{"segment": 2, "epoch": 8}, {"segment": 0}],
            release=[{"segment": 5, "epoch": 7}],
        )
        first, second = call.want
        self.assertEqual((first.missing, first.hedge, first.path), (0xC0, True, "chunk_0_1.m4s"))
        self.assertEqual(first.refused, (b"\xab" * 32,))
        self.assertEqual((second.segment, second.blocks, second.missing), (4, 20, None))
        self.assertEqual(call.progress, (Progress(1, 9, 4),))
        self.assertEqual(call.done, (Mark(2, 8), Mark(0, 0)))
        self.assertEqual(call.release, (Mark(5, 7),))

    def test_each_list_is_bounded(self) -> None:
        for name, most, item in (
            ("want", limits.MAX_WANTS, want(1)),
            ("progress", limits.MAX_PROGRESS, {"segment": 1, "epoch": 1, "blocks_done": 1}),
            ("done", limits.MAX_DONE, {"segment": 1}),
            ("release", limits.MAX_RELEASE, {"segment": 1, "epoch": 1}),
        ):
            self.read(**{name: [item] * most})
            bad: Any
            for bad in ([item] * (most + 1), item, [[]], [None], "x"):
                self.assertIn(f'"{name}"', self.refuse(**{name: bad}))

    def test_a_body_of_more_than_64_kib_is_refused(self) -> None:
        self.refused(read_lease, lease_fields(7, padding="x" * limits.MAX_LEASE_BYTES), 413)

    def test_positions_blocks_sizes_and_rates_are_bounded(self) -> None:
        for name, low, high in (
            ("segment", 0, limits.MAX_SEGMENT),
            ("blocks", 1, limits.MAX_BLOCKS),
            ("size_bytes", 0, limits.MAX_SEGMENT_BYTES),
            ("media_bps", 0, limits.MAX_MEDIA_BPS),
        ):
            self.read(want=[{**want(1), name: low}, {**want(1), name: high}])
            for bad in (low - 1, high + 1, True, 1.5, "1", None):
                self.assertIn(f'"{name}"', self.refuse(want=[{**want(1), name: bad}]))

    def test_epochs_are_32_bits(self) -> None:
        for name in ("progress", "done", "release"):
            for bad in (-1, limits.MAX_EPOCH + 1, True, "1"):
                item = {"segment": 1, "epoch": bad, "blocks_done": 1}
                self.assertIn('"epoch"', self.refuse(**{name: [item]}))

    def test_what_is_missing_are_blocks_of_the_segment_in_hex(self) -> None:
        self.read(want=[want(1, missing="fffff")])
        bad: Any
        for bad in ("", "0", "00000", "100000", "000001f", "FF", "0x1", "-1", "g", 1, True, []):
            self.assertIn('"missing"', self.refuse(want=[want(1, missing=bad)]))

    def test_holders_tried_in_vain_are_a_bounded_list_of_ids(self) -> None:
        self.refuse(want=[want(1, refused=["ab" * 32] * (limits.MAX_REFUSED + 1))])
        bad: Any
        for bad in ("ab" * 32, ["ab"], [7]):
            self.assertIn('"refused"', self.refuse(want=[want(1, refused=bad)]))

    def test_a_hedge_is_true_or_false(self) -> None:
        for bad in (1, 0, "true", None):
            self.assertIn('"hedge"', self.refuse(want=[want(1, hedge=bad)]))

    def test_that_it_comes_too_slowly_is_true_or_false(self) -> None:
        [told] = self.read(want=[want(1, slow=True)]).want
        self.assertIs(told.slow, True)
        for bad in (1, 0, "true", None):
            self.assertIn('"slow"', self.refuse(want=[want(1, slow=bad)]))

    def test_a_path_is_short_and_printable(self) -> None:
        for bad in ("", "x" * 256, "a\nb", "é", 7):
            self.assertIn('"path"', self.refuse(want=[want(1, path=bad)]))
