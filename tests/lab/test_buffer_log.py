"""A buffer's course in bounded room."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.buffer_log import INTERVAL_S, SAMPLES_MAX, BufferLog


class BufferLogTests(SynchronousTestCase):
    def test_readings_that_come_too_soon_are_left_out(self) -> None:
        log = BufferLog()
        for at_s in (0.0, 0.1, INTERVAL_S, INTERVAL_S * 1.5, INTERVAL_S * 2):
            log.note(at_s, 4.0)
        self.assertEqual([at_s for at_s, _ in log.samples], [0.0, INTERVAL_S, 2 * INTERVAL_S])

    def test_a_long_viewing_keeps_its_whole_course_in_bounded_room(self) -> None:
        log = BufferLog()
        count = SAMPLES_MAX * 3
        for number in range(count):
            log.note(number * INTERVAL_S, float(number % 12))
        self.assertLessEqual(len(log.samples), SAMPLES_MAX)
        self.assertEqual(log.samples[0][0], 0.0)
        self.assertGreater(log.samples[-1][0], (count - 8) * INTERVAL_S)
