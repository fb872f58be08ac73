from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content import limits
from dashp2p.content.mpd import ManifestRepresentation, ManifestSegment, MpdRefused, read_mpd

# As ffmpeg's dash muxer writes it, shortened.
FFMPEG = b"""<?xml version="1.0" encoding="utf-8"?>
<MPD xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
  mediaPresentationDuration="PT9.0S" minBufferTime="PT2.0S">
  <ProgramInformation></ProgramInformation>
  <Period id="0" start="PT0.0S">
    <AdaptationSet id="0" contentType="video" frameRate="25/1" maxWidth="640" par="16:9">
      <Representation id="0" mimeType="video/mp4" codecs="avc1.64001e" bandwidth="500000"
          width="640" height="360" sar="1:1">
        <SegmentTemplate timescale="12800" initialization="init_$RepresentationID$.m4s"
            media="chunk_$RepresentationID$_$Number$.m4s" startNumber="1">
          <SegmentTimeline><S t="0" d="51200" r="1" /><S d="12800" /></SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio">
      <Representation id="1" mimeType="audio/mp4" codecs="mp4a.40.2" bandwidth="128000">
        <SegmentTemplate timescale="48000" initialization="init_$RepresentationID$.m4s"
            media="chunk_$RepresentationID$_$Number$.m4s" startNumber="1">
          <SegmentTimeline><S t="0" d="191488" /><S d="240512" /></SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"""


def mpd(
    template: str, attributes: str = "", top: str = "", duration: str = "PT10S", base: str = ""
) -> bytes:
    """One video representation, "v", of 800 kbit/s, whose SegmentTemplate is given."""
    return f"""<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="{duration}"
      {top}>{base}<Period><AdaptationSet mimeType="video/mp4" codecs="avc1"
      width="320" height="180"><Representation id="v" bandwidth="800000" {attributes}>
      {template}</Representation></AdaptationSet></Period></MPD>""".encode()


def timeline(entries: str, attributes: str = "", **more: str) -> bytes:
    return mpd(
        f'<SegmentTemplate initialization="i.mp4" media="$Number$.mp4" timescale="10" {attributes}>'
        f"<SegmentTimeline>{entries}</SegmentTimeline></SegmentTemplate>",
        **more,
    )


BY_DURATION = (
    '<SegmentTemplate initialization="i.mp4" media="$Number%03d$.mp4"'
    ' timescale="10" duration="40"/>'
)


def only(raw: bytes) -> ManifestRepresentation:
    (representation,) = read_mpd(raw).representations
    return representation


def times(raw: bytes) -> list[tuple[float, float]]:
    return [(segment.start_s, segment.duration_s) for segment in only(raw).media]


class ReadingTests(SynchronousTestCase):
    def test_what_ffmpeg_writes_is_read_in_full(self) -> None:
        manifest = read_mpd(FFMPEG)
        self.assertEqual((manifest.duration_s, manifest.min_buffer_s), (9.0, 2.0))
        self.assertEqual(
            manifest.representations,
            (
                ManifestRepresentation(
                    id="0",
                    adaptation_set=0,
                    media_type="video",
                    bandwidth_bps=500_000,
                    codecs="avc1.64001e",
                    width=640,
                    height=360,
                    init_path="init_0.m4s",
                    media=(
                        ManifestSegment("chunk_0_1.m4s", 0.0, 4.0),
                        ManifestSegment("chunk_0_2.m4s", 4.0, 4.0),
                        ManifestSegment("chunk_0_3.m4s", 8.0, 1.0),
                    ),
                ),
                ManifestRepresentation(
                    id="1",
                    adaptation_set=1,
                    media_type="audio",
                    bandwidth_bps=128_000,
                    codecs="mp4a.40.2",
                    width=None,
                    height=None,
                    init_path="init_1.m4s",
                    media=(
                        ManifestSegment("chunk_1_1.m4s", 0.0, 191_488 / 48_000),
                        ManifestSegment("chunk_1_2.m4s", 191_488 / 48_000, 240_512 / 48_000),
                    ),
                ),
            ),
        )

    def test_segments_of_one_duration_fill_the_period_and_the_last_is_shorter(self) -> None:
        representation = only(mpd(BY_DURATION))
        self.assertEqual(
            representation.media,
            (
                ManifestSegment("001.mp4", 0.0, 4.0),
                ManifestSegment("002.mp4", 4.0, 4.0),
                ManifestSegment("003.mp4", 8.0, 2.0),
            ),
        )

    def test_numbers_start_where_the_template_says(self) -> None:
        raw = timeline('<S d="40" r="1"/>', 'startNumber="0"')
        self.assertEqual([item.path for item in only(raw).media], ["0.mp4", "1.mp4"])

    def test_a_segment_may_be_named_by_its_time(self) -> None:
        raw = timeline('<S t="5" d="40" r="1"/>').replace(b"$Number$", b"$Time$")
        self.assertEqual([item.path for item in only(raw).media], ["5.mp4", "45.mp4"])

    def test_times_count_from_the_presentation_time_offset(self) -> None:
        raw = timeline('<S t="1000" d="40" r="1"/>', 'presentationTimeOffset="1000"')
        self.assertEqual(times(raw), [(0.0, 4.0), (4.0, 4.0)])

    def test_a_gap_in_the_timeline_stays_a_gap(self) -> None:
        self.assertEqual(times(timeline('<S t="0" d="40"/><S t="60" d="40"/>')),
                         [(0.0, 4.0), (6.0, 4.0)])  # fmt: skip

    def test_an_open_repetition_runs_to_the_next_entry_or_to_the_end(self) -> None:
        raw = timeline('<S t="0" d="20" r="-1"/><S t="40" d="30" r="-1"/>')
        self.assertEqual(times(raw), [(0.0, 2.0), (2.0, 2.0), (4.0, 3.0), (7.0, 3.0)])

    def test_a_template_is_inherited_from_the_levels_above(self) -> None:
        raw = mpd('<SegmentTemplate startNumber="5"/>').replace(
            b"<Representation", BY_DURATION.encode() + b"<Representation"
        )
        self.assertEqual(only(raw).media[0].path, "005.mp4")

    def test_sizes_and_codecs_are_inherited_from_the_adaptation_set(self) -> None:
        representation = only(mpd(BY_DURATION))
        self.assertEqual((representation.width, representation.height), (320, 180))
        self.assertEqual((representation.codecs, representation.media_type), ("avc1", "video"))

    def test_relative_base_urls_add_up(self) -> None:
        raw = mpd(BY_DURATION, base="<BaseURL>./film/</BaseURL>").replace(
            b"<SegmentTemplate", b"<BaseURL>hd/</BaseURL><SegmentTemplate"
        )
        self.assertEqual(only(raw).init_path, "film/hd/i.mp4")

    def test_sets_of_other_than_media_are_left_out(self) -> None:
        thumbnails = b'<AdaptationSet contentType="image"><Representation id="t"/></AdaptationSet>'
        raw = FFMPEG.replace(b"<AdaptationSet", thumbnails + b"<AdaptationSet", 1)
        self.assertEqual([item.id for item in read_mpd(raw).representations], ["0", "1"])

    def test_durations_are_read_in_days_hours_minutes_and_seconds(self) -> None:
        for text, expected in (("PT1H2M3.5S", 3723.5), ("P1DT1S", 86_401.0), ("PT2M", 120.0)):
            raw = timeline('<S d="40"/>', duration=text)
            self.assertEqual(read_mpd(raw).duration_s, expected)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">&b;</MPD>'
)


class RefusalTests(SynchronousTestCase):
    def refused(self, raw: bytes, reason: str) -> None:
        error = self.assertRaises(MpdRefused, read_mpd, raw)
        self.assertIn(reason, str(error))
        self.assertNotIn("\n", str(error))

    def test_entities_are_refused(self) -> None:
        self.refused(BOMB, "DTD")

    def test_a_dtd_is_refused_even_without_entities(self) -> None:
        self.refused(FFMPEG.replace(b"<MPD", b"<!DOCTYPE MPD>\n<MPD", 1), "DTD")

    def test_an_external_dtd_is_refused(self) -> None:
        doctype = b'<!DOCTYPE MPD SYSTEM "file:///etc/passwd">\n<MPD'
        self.refused(FFMPEG.replace(b"<MPD", doctype, 1), "DTD")

    def test_an_mpd_above_the_limit_is_refused_unread(self) -> None:
        self.refused(b"<" * (limits.MPD_MAX_BYTES + 1), "limit")

    def test_too_deep_nesting_is_refused(self) -> None:
        depth = limits.MPD_MAX_DEPTH
        nested = b"<a>" * depth + b"</a>" * depth
        self.refused(FFMPEG.replace(b"<Period", nested + b"<Period", 1), "deep")

    def test_too_many_elements_are_refused(self) -> None:
        self.patch(limits, "MPD_MAX_ELEMENTS", 10)
        self.refused(FFMPEG, "elements")

    def test_a_repetition_beyond_the_limit_is_refused_before_it_is_spelled_out(self) -> None:
        self.refused(timeline(f'<S d="1" r="{limits.ENTRIES_MAX + 1}"/>'), "r is")
        self.refused(timeline(f'<S d="1" r="{limits.ENTRIES_MAX}"/>'), "segments")
        self.refused(timeline('<S d="1" r="-1"/>', duration="PT9999999999S"), "segments")

    def test_more_segments_than_the_limit_are_refused(self) -> None:
        self.patch(limits, "ENTRIES_MAX", 4)
        self.refused(FFMPEG, "segments")
        self.refused(mpd(BY_DURATION, duration="PT17S"), "segments")

    def test_more_representations_than_the_limit_are_refused(self) -> None:
        self.patch(limits, "REPRESENTATIONS_MAX", 1)
        self.refused(FFMPEG, "representations")

    def test_unsafe_segment_names_are_refused(self) -> None:
        for name in (b"../i.mp4", b"/i.mp4", b"http://x/i.mp4", b"a\\i.mp4", b"a?i.mp4", b""):
            self.refused(mpd(BY_DURATION).replace(b'"i.mp4"', b'"' + name + b'"'), "safe")

    def test_an_id_cannot_lead_out_of_the_folder(self) -> None:
        raw = FFMPEG.replace(b'id="0" mime', b'id="/../../x" mime')
        self.refused(raw.replace(b"init_$", b"$"), "safe")

    def test_absolute_base_urls_are_refused(self) -> None:
        for base in ("http://example.com/", "//example.com/", "/dash/", "data:,"):
            self.refused(mpd(BY_DURATION, base=f"<BaseURL>{base}</BaseURL>"), "BaseURL")
        self.refused(mpd(BY_DURATION, base="<BaseURL>../</BaseURL>"), "safe")
        long = "a/" * limits.PATH_MAX_CHARS
        self.refused(mpd(BY_DURATION, base=f"<BaseURL>{long}</BaseURL>"), "too long")

    def test_a_live_stream_is_refused(self) -> None:
        self.refused(mpd(BY_DURATION, top='type="dynamic"'), "live")

    def test_several_periods_are_refused(self) -> None:
        self.refused(FFMPEG.replace(b"</MPD>", b"<Period/></MPD>"), "2 Periods")

    def test_other_ways_to_name_segments_are_refused(self) -> None:
        self.refused(mpd("<SegmentList/>"), "SegmentList")
        self.refused(mpd("<SegmentBase/>"), "SegmentBase")
        self.refused(mpd(""), "initialization")
        self.refused(mpd('<SegmentTemplate initialization="i"/>'), "no media")
        self.refused(mpd('<SegmentTemplate initialization="i" media="m"/>'), "duration")

    def test_numbers_that_make_no_sense_are_refused(self) -> None:
        self.refused(FFMPEG.replace(b'bandwidth="500000"', b""), "bandwidth")
        self.refused(FFMPEG.replace(b'bandwidth="500000"', b'bandwidth="0"'), "bandwidth")
        self.refused(FFMPEG.replace(b'timescale="12800"', b'timescale="0"'), "timescale")
        self.refused(timeline('<S t="0"/>'), "duration")
        self.refused(timeline('<S d="0"/>'), "d is")
        self.refused(timeline('<S d="4e1"/>'), "integer")
        self.refused(timeline(f'<S d="{"1" * 400}"/>'), "integer")
        self.refused(timeline('<S t="0" d="4" r="-1"/><S d="4"/>'), "no end")

    def test_durations_that_make_no_sense_are_refused(self) -> None:
        for text in ("", "P", "PT", "9", "P1Y", "PT-1S", "PT1e9S", "P999999D", "PT9S" * 40):
            raw = timeline('<S d="40"/>', duration=text)
            self.refused(raw, "a duration")

    def test_what_is_no_mpd_is_refused(self) -> None:
        for raw in (b"", b"hello", b"<html/>", b"<MPD/>", b"\xff\xfe", FFMPEG[:-10]):
            self.assertRaises(MpdRefused, read_mpd, raw)
        self.refused(b'<?xml version="1.0" encoding="nonsense"?><MPD/>', "XML")
        self.refused(b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>', "0 Periods")

    @given(st.binary(max_size=200))
    def test_no_bytes_make_the_reader_fail_otherwise(self, raw: bytes) -> None:
        self.assertRaises(MpdRefused, read_mpd, raw)

    @given(st.integers(0, len(FFMPEG) - 1), st.integers(1, 40), st.binary(max_size=8))
    def test_an_mpd_with_any_part_replaced_is_read_or_refused(
        self, at: int, length: int, instead: bytes
    ) -> None:
        try:
            read_mpd(FFMPEG[:at] + instead + FFMPEG[at + length :])
        except MpdRefused:
            return
