"""Films that somebody hands to a publisher: the command that signs them, as a process."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import environment

MIB = 1 << 20
ADDRESS_SPACE_BYTES = 512 * MIB
PUBLISH_S = 10.0


def laughs(levels: int = 12) -> str:
    """Entities that name ten of the one before."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, levels)]
    return f"<!DOCTYPE MPD [{''.join(lines)}]><MPD>&a{levels - 1};</MPD>"


class EvilFilmTests(SynchronousTestCase):
    """Outcome for all: one line that says why, exit 1, within 10 s and 512 MiB."""

    def refused(self, mpd: str | bytes, why: str) -> str:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "dash.mpd").write_bytes(mpd if isinstance(mpd, bytes) else mpd.encode())
        key = folder.with_name("key.pem")
        began_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "dashp2p.content.publish", str(folder), "--key", str(key)],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PUBLISH_S,
            preexec_fn=_bounded,
        )
        self.assertLess(time.monotonic() - began_s, PUBLISH_S)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(why, done.stderr)
        self.assertFalse((folder / "index.sig").exists())
        return done.stderr

    def test_entities_that_explode(self) -> None:
        self.refused(laughs(), "DTD")

    def test_a_file_of_the_machine_as_an_entity(self) -> None:
        entity = '<!DOCTYPE MPD [<!ENTITY x SYSTEM "file:///etc/passwd">]><MPD>&x;</MPD>'
        self.assertNotIn("root:", self.refused(entity, "DTD"))

    def test_depth_and_length_without_end(self) -> None:
        self.refused("<a>" * 100_000 + "</a>" * 100_000, "deep")
        self.refused(b"<MPD>" + b" " * (64 * MIB), "bytes")

    def test_a_repetition_of_a_thousand_million_segments(self) -> None:
        self.refused(
            '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT9S"><Period>'
            '<AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1">'
            '<SegmentTemplate timescale="1" initialization="i.m4s" media="$Number$.m4s">'
            '<SegmentTimeline><S t="0" d="1" r="999999999"/></SegmentTimeline>'
            "</SegmentTemplate></Representation></AdaptationSet></Period></MPD>",
            "r is 999999999, not from -1 to 65536",
        )


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
