import os
import signal
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.interrupts import Interrupted, interruptible, uninterrupted
from dashp2p.content.workspace import OutputRefused, replacement_of


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class WorkspaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent = Path(self.mktemp()).absolute()
        self.target = self.parent / "dash"

    def old_presentation(self) -> None:
        self.target.mkdir(parents=True)
        for name in ("dash.mpd", "master.m3u8", "chunk_0_1.m4s", "index.json", ".gitkeep"):
            (self.target / name).write_text("old")

    def replace(self) -> None:
        with replacement_of(self.target) as workspace:
            (workspace.folder / "dash.mpd").write_text("new")
            workspace.swap_in()

    def test_a_new_folder_takes_its_place(self) -> None:
        self.replace()
        self.assertEqual((self.target / "dash.mpd").read_text(), "new")
        self.assertEqual(names(self.parent), ["dash"])

    def test_an_old_presentation_is_replaced_in_whole(self) -> None:
        self.old_presentation()
        self.replace()
        self.assertEqual(names(self.target), ["dash.mpd"])
        self.assertEqual(names(self.parent), ["dash"])

    def test_others_may_read_the_new_folder(self) -> None:
        self.replace()
        self.assertEqual(self.target.stat().st_mode & 0o777, 0o755)

    def test_until_it_is_swapped_in_the_old_one_stays_and_nothing_else_is_left(self) -> None:
        self.old_presentation()
        for error in (ValueError(), KeyboardInterrupt(), Interrupted(signal.SIGTERM)):
            with self.assertRaises(type(error)), replacement_of(self.target) as workspace:
                (workspace.folder / "dash.mpd").write_text("new")
                raise error
            self.assertEqual((self.target / "dash.mpd").read_text(), "old")
            self.assertEqual(names(self.parent), ["dash"])

    def test_a_swap_that_fails_puts_the_old_one_back(self) -> None:
        self.old_presentation()
        with self.assertRaises(OSError), replacement_of(self.target) as workspace:
            workspace.folder.rmdir()
            workspace.swap_in()
        self.assertEqual((self.target / "dash.mpd").read_text(), "old")
        self.assertEqual(names(self.parent), ["dash"])

    def test_a_folder_with_other_files_is_never_replaced(self) -> None:
        for stranger in ("holiday.mp4", "client.html", "sub/notes.txt", "package.json"):
            self.target = self.parent / stranger.replace("/", "-")
            self.old_presentation()
            path = self.target / stranger
            path.parent.mkdir(exist_ok=True)
            path.write_text("mine")
            error = self.assertRaises(OutputRefused, self.replace)
            self.assertIn(path.name, str(error))
            self.assertEqual(path.read_text(), "mine")

    def test_a_file_is_never_replaced(self) -> None:
        self.parent.mkdir()
        self.target.write_text("mine")
        self.assertRaises(OutputRefused, self.replace)
        self.assertEqual(self.target.read_text(), "mine")

    def test_a_link_to_a_folder_stays_a_link(self) -> None:
        self.old_presentation()
        link = self.parent / "link"
        link.symlink_to(self.target)
        with replacement_of(link) as workspace:
            (workspace.folder / "dash.mpd").write_text("new")
            workspace.swap_in()
        self.assertTrue(link.is_symlink())
        self.assertEqual((link / "dash.mpd").read_text(), "new")


class InterruptionTests(SynchronousTestCase):
    def test_a_signal_becomes_an_exception_that_no_one_takes_for_a_failure(self) -> None:
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            with self.assertRaises(Interrupted) as caught, interruptible():
                os.kill(os.getpid(), number)
            self.assertEqual(caught.exception.exit_status, status)
        self.assertNotIsInstance(caught.exception, Exception)

    def test_a_second_signal_does_not_cut_the_tidying_short(self) -> None:
        tidied = []
        with self.assertRaises(Interrupted), interruptible():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                tidied.append(True)
        self.assertEqual(tidied, [True])

    def test_steps_that_belong_together_are_done_before_the_interruption(self) -> None:
        done = []
        with self.assertRaises(Interrupted), interruptible():
            with uninterrupted():
                with uninterrupted():
                    os.kill(os.getpid(), signal.SIGTERM)
                    done.append("first")
                done.append("second")
            done.append("too late")
        self.assertEqual(done, ["first", "second"])

    def test_the_handlers_are_put_back(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with interruptible():
            self.assertNotEqual(signal.getsignal(signal.SIGTERM), before)
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)
