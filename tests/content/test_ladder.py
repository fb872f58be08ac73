from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.ladder import LADDER, LadderRefused, Rung, parse_ladder, renditions


def sizes(width_px: float, height_px: float) -> list[tuple[int, int, int]]:
    found = renditions(width_px, height_px)
    return [(item.width_px, item.height_px, item.rate_kbps) for item in found]


class RenditionTests(SynchronousTestCase):
    def test_a_full_hd_film_gets_all_four_rungs(self) -> None:
        self.assertEqual(
            sizes(1920, 1080),
            [(1920, 1080, 5000), (1280, 720, 3000), (854, 480, 1000), (640, 360, 500)],
        )

    def test_no_rung_is_above_the_films_own_size(self) -> None:
        self.assertEqual(sizes(854, 480), [(854, 480, 1000), (640, 360, 500)])

    def test_a_film_below_every_rung_gets_one_of_its_own_size(self) -> None:
        self.assertEqual(sizes(321, 181), [(320, 180, 500)])

    def test_a_portrait_film_goes_by_its_shorter_side(self) -> None:
        self.assertEqual(
            sizes(1080, 1920),
            [(1080, 1920, 5000), (720, 1280, 3000), (480, 854, 1000), (360, 640, 500)],
        )

    def test_a_wide_film_goes_by_its_width(self) -> None:
        self.assertEqual(sizes(1920, 800)[0], (1920, 800, 5000))
        self.assertEqual(sizes(1920, 800)[3], (640, 266, 500))

    def test_an_old_film_goes_by_its_height(self) -> None:
        self.assertEqual(sizes(1440, 1080)[1], (960, 720, 3000))

    def test_a_film_a_little_below_a_rung_keeps_it_at_its_own_size(self) -> None:
        self.assertEqual(sizes(1279, 719)[0], (1278, 718, 3000))
        self.assertEqual(sizes(1200, 675)[0], (854, 480, 1000))

    @given(st.integers(16, 8000), st.integers(16, 8000))
    def test_any_film_gets_even_sizes_no_larger_than_its_own_with_its_aspect(
        self, width_px: int, height_px: int
    ) -> None:
        found = renditions(width_px, height_px)
        self.assertTrue(found)
        for item in found:
            self.assertEqual((item.width_px % 2, item.height_px % 2), (0, 0))
            self.assertTrue(item.width_px <= width_px and item.height_px <= height_px)
            if min(item.width_px, item.height_px) > 16:
                scale = item.width_px / width_px
                self.assertTrue(abs(height_px * scale - item.height_px) <= 1 + height_px / width_px)


class OptionTests(SynchronousTestCase):
    def test_a_ladder_is_read_and_put_in_order(self) -> None:
        self.assertEqual(parse_ladder("360:500, 480:1000"), (Rung(480, 1000), Rung(360, 500)))
        spelled = ",".join(f"{rung.height_px}:{rung.rate_kbps}" for rung in LADDER)
        self.assertEqual(parse_ladder(spelled), LADDER)

    def test_what_is_no_ladder_is_refused(self) -> None:
        for text in ("", "480", "480:", "x:1", "480:1000;360:500", "480:-1", "1:500", "\u0664\u0668\u0660:500"):  # fmt: skip # noqa: E501
            self.assertRaises(LadderRefused, parse_ladder, text)
