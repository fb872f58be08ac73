"""The daemons' options: command line, environment, and what a person reads when one is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.options import (
    DaemonOptions,
    Option,
    bit_rate,
    byte_size,
    choice,
    directory_to_fill,
    duration,
    endpoint,
    file_to_keep,
    hex_key,
    host_name,
    http_url,
    integer,
    ip_address,
    local_endpoint,
    number,
    readable_directory,
    readable_file,
    truth,
    web_origin,
)


class SampleOptions(DaemonOptions):
    program = "dashp2p-sample"
    options: ClassVar[tuple[Option, ...]] = (
        Option("cache-size", "How much to keep.", byte_size, default="2GiB", example="500MB"),
        Option("listen", "Where to listen.", endpoint, default="tcp:9000", variables=("PORT",)),
        Option("origin", "Where segments are.", http_url, example="http://h/dash", required=True),
        Option("allow-host", "A further name.", host_name, example="tv.lan", repeat=True),
        Option("quiet", "Say less.", flag=True, short="q"),
    )


def parsed(*argv: str, origin: str = "http://h/dash", **environ: str) -> SampleOptions:
    options = SampleOptions()
    options.environ = {"DASHP2P_ORIGIN": origin, **environ}
    options.parseOptions(argv)
    return options


class OptionsTests(SynchronousTestCase):
    def refusal(self, *argv: str, environ: Mapping[str, str] | None = None) -> str:
        options = SampleOptions()
        options.environ = {"DASHP2P_ORIGIN": "http://h/dash"} if environ is None else environ
        with self.assertRaises(usage.UsageError) as caught:
            options.parseOptions(argv)
        line = str(caught.exception)
        self.assertNotIn("\n", line)
        return line

    def test_defaults_are_typed(self) -> None:
        self.assertEqual(
            parsed(),
            {
                "cache-size": 2 * 1024**3,
                "listen": "tcp:9000",
                "origin": "http://h/dash",
                "allow-host": (),
                "quiet": False,
                "admin": None,
                "admin-host": (),
                "as-local": (),
            },
        )

    def test_the_environment_stands_in_for_an_option(self) -> None:
        self.assertEqual(parsed(DASHP2P_CACHE_SIZE="1MiB")["cache-size"], 1 << 20)

    def test_the_command_line_beats_the_environment(self) -> None:
        self.assertEqual(parsed("--cache-size=5", DASHP2P_CACHE_SIZE="6")["cache-size"], 5)

    def test_a_bad_variable_does_not_matter_when_the_command_line_says_it(self) -> None:
        self.assertEqual(parsed("--cache-size=5", DASHP2P_CACHE_SIZE="much")["cache-size"], 5)

    def test_the_prefixed_variable_beats_the_plain_one(self) -> None:
        self.assertEqual(parsed(PORT="9001", DASHP2P_LISTEN="tcp:9002")["listen"], "tcp:9002")
        self.assertEqual(parsed(PORT="9001")["listen"], "tcp:9001")

    def test_an_empty_variable_counts_as_absent(self) -> None:
        self.assertEqual(parsed(DASHP2P_LISTEN=" ", PORT="")["listen"], "tcp:9000")

    def test_a_repeated_option_gathers_its_values(self) -> None:
        self.assertEqual(
            parsed("--allow-host=a.lan", "--allow-host", "B.lan")["allow-host"], ("a.lan", "b.lan")
        )
        self.assertEqual(parsed(DASHP2P_ALLOW_HOST="a, b,")["allow-host"], ("a", "b"))

    def test_a_repeated_option_has_a_limit(self) -> None:
        self.assertIn("256", self.refusal(*["--allow-host=a"] * 257))

    def test_a_single_option_given_twice_takes_the_last(self) -> None:
        self.assertEqual(parsed("--listen=tcp:1", "--listen=tcp:2")["listen"], "tcp:2")

    def test_flags_come_from_the_command_line_and_from_the_environment(self) -> None:
        self.assertIs(parsed("--quiet")["quiet"], True)
        self.assertIs(parsed("-q")["quiet"], True)
        self.assertIs(parsed(DASHP2P_QUIET="yes")["quiet"], True)
        self.assertIs(parsed(DASHP2P_QUIET="0")["quiet"], False)

    def test_a_bad_flag_variable_is_refused(self) -> None:
        line = self.refusal(environ={"DASHP2P_ORIGIN": "http://h", "DASHP2P_QUIET": "perhaps"})
        self.assertIn("DASHP2P_QUIET", line)

    def test_a_bad_option_names_itself_and_its_variable(self) -> None:
        line = self.refusal("--cache-size=2 gigs")
        self.assertIn("--cache-size", line)
        self.assertIn("DASHP2P_CACHE_SIZE", line)
        self.assertIn("'2 gigs'", line)

    def test_a_bad_variable_names_itself_and_its_option(self) -> None:
        line = self.refusal(environ={"DASHP2P_ORIGIN": "http://h", "PORT": "70000"})
        self.assertIn("the environment variable PORT", line)
        self.assertIn("--listen", line)

    def test_a_needed_option_that_is_missing_is_named(self) -> None:
        line = self.refusal(environ={})
        self.assertIn("--origin", line)
        self.assertIn("DASHP2P_ORIGIN", line)
        self.assertIn("e.g. --origin http://h/dash", line)

    def test_an_unknown_option_is_refused(self) -> None:
        self.assertIn("--colour", self.refusal("--colour=red"))

    def test_an_endless_value_is_refused(self) -> None:
        self.assertIn("4096", self.refusal("--origin=http://" + "h" * 5000))

    def test_a_value_with_line_breaks_makes_one_line(self) -> None:
        self.refusal("--cache-size=1\n2\n\n3")

    def test_under_twistd_a_bad_option_ends_the_process_with_one_line(self) -> None:
        options = SampleOptions()
        options.parent = usage.Options()
        options.environ = {}
        with self.assertRaises(SystemExit) as caught:
            options.parseOptions([])
        self.assertIsInstance(caught.exception.code, str)  # printed, and the status is 1
        self.assertTrue(str(caught.exception.code).startswith("dashp2p-sample: --origin"))

    def test_help_teaches_example_form_default_and_variables(self) -> None:
        text = " ".join(str(SampleOptions()).split())
        self.assertIn("How much to keep.", text)
        self.assertIn("E.g. --cache-size 500MB", text)
        self.assertIn("KiB, MiB, GiB", text)
        self.assertIn("[default: 2GiB]", text)
        self.assertIn("$DASHP2P_LISTEN, $PORT", text)
        self.assertIn("--admin=", text)

    def test_the_table_holds_all_rows_for_the_documentation(self) -> None:
        names = [row.name for row in SampleOptions.table()]
        own = ["cache-size", "listen", "origin", "allow-host", "quiet"]
        self.assertEqual(names, [*own, "admin", "admin-host", "as-local"])

    def test_a_subclass_may_redefine_a_row(self) -> None:
        class Other(SampleOptions):
            options: ClassVar[tuple[Option, ...]] = (Option("origin", "Optional here.", http_url),)

        options = Other()
        options.environ = {}
        options.parseOptions([])
        self.assertIsNone(options["origin"])

    def test_version_names_the_program(self) -> None:
        printed: list[str] = []
        self.patch(__import__("builtins"), "print", lambda *words: printed.extend(words))
        with self.assertRaises(SystemExit) as caught:
            parsed("--version")
        self.assertEqual(caught.exception.code, 0)
        self.assertRegex(printed[0], r"^dashp2p-sample \d+\.\d+\.\d+ \(Twisted ")


class CoercerTests(SynchronousTestCase):
    def refused(self, coerce: Callable[[str], object], *texts: str) -> None:
        for text in texts:
            with self.assertRaises(ValueError, msg=text):
                coerce(text)

    def test_sizes(self) -> None:
        self.assertEqual(byte_size("2GiB"), 2147483648)
        self.assertEqual(byte_size("64 mib"), 64 << 20)
        self.assertEqual(byte_size("500MB"), 500_000_000)
        self.assertEqual(byte_size("1.5kB"), 1500)
        self.assertEqual(byte_size("4096"), 4096)
        self.assertEqual(byte_size("9007199254740993"), 9007199254740993)
        self.refused(byte_size, "", "-1", "2G", "GiB", "1e9", "2 gigs", "0x10", "9999999TiB", "٣")

    def test_rates(self) -> None:
        self.assertEqual(bit_rate("20Mbit"), 20_000_000)
        self.assertEqual(bit_rate("2.5Mbit/s"), 2_500_000)
        self.assertEqual(bit_rate("800kbit"), 800_000)
        self.assertEqual(bit_rate("1Gbitps"), 10**9)
        self.assertEqual(bit_rate("64000"), 64000)
        self.refused(bit_rate, "", "20MB", "fast", "-1Mbit", "1e6", "9999999999Gbit")

    def test_durations(self) -> None:
        self.assertEqual(duration("30s"), 30.0)
        self.assertEqual(duration("10m"), 600.0)
        self.assertEqual(duration("500ms"), 0.5)
        self.assertEqual(duration("2h"), 7200.0)
        self.assertEqual(duration("1.5"), 1.5)
        self.refused(duration, "", "soon", "-1s", "1e9s", "1y", "9999999999999d", "nan", "inf")

    def test_truths(self) -> None:
        self.assertTrue(truth(" ON "))
        self.assertFalse(truth("no"))
        self.refused(truth, "2", "")

    def test_whole_numbers_have_bounds(self) -> None:
        self.assertEqual(integer(0, 9)("9"), 9)
        self.refused(integer(0, 9), "10", "-1", "1.0", "", "x", "1_0")

    def test_numbers_have_bounds(self) -> None:
        self.assertEqual(number(0, 1)("0.25"), 0.25)
        self.refused(number(0, 1), "1.1", "nan", "inf", "x", "")

    def test_choices(self) -> None:
        self.assertEqual(choice("full", "off")("off"), "off")
        self.refused(choice("full", "off"), "of", "")

    def test_endpoints(self) -> None:
        self.assertEqual(endpoint("9000"), "tcp:9000")
        self.assertEqual(endpoint("tcp:0:interface=127.0.0.1"), "tcp:0:interface=127.0.0.1")
        self.assertEqual(endpoint("tcp:port=80"), "tcp:port=80")
        self.assertEqual(local_endpoint("8001"), "tcp:8001:interface=127.0.0.1")
        self.refused(
            endpoint, "", "tcp", "tcp:", "tcp:http", "tcp:70000", "70000", "9000:nothing=1",
            "tcp:80:colour=red", "ssl:443:privateKey=/nonexistent", "carrier-pigeon:1", "tcp:-1",
        )  # fmt: skip

    def test_urls(self) -> None:
        self.assertEqual(http_url("http://origin:9000/dash/"), "http://origin:9000/dash")
        self.assertEqual(http_url(" https://[::1]:9000 "), "https://[::1]:9000")
        self.refused(
            http_url, "", "origin:9000", "ftp://h/", "http://", "http:///x", "http://h:99999",
            "http://h:x", "http://h:0", "http://u:p@h/", "http://h/?q=1", "http://h/#f", "http://h/?",
            "http://h h/", "http://h\n/", "http://[::1", "http://-h/", "http://h/é", "file:///etc",
        )  # fmt: skip

    def test_a_password_in_a_url_is_not_repeated(self) -> None:
        with self.assertRaises(ValueError) as caught:
            http_url("http://user:secret@host/")
        self.assertNotIn("secret", str(caught.exception))

    def test_web_origins(self) -> None:
        self.assertEqual(web_origin("HTTPS://Site.Example:443/"), "https://site.example")
        self.assertEqual(web_origin("http://[::1]:8000"), "http://[::1]:8000")
        self.refused(web_origin, "*", "null", "https://site.example/page", "site.example")

    def test_host_names(self) -> None:
        self.assertEqual(host_name("TV.lan."), "tv.lan")
        self.assertEqual(host_name("[FE80::1]"), "fe80::1")
        self.assertEqual(host_name("10.0.0.5"), "10.0.0.5")
        self.refused(host_name, "", "a b", "a:80", "*", "a..b", "-a", "x" * 64, "1234", "a/b")

    def test_addresses(self) -> None:
        self.assertEqual(ip_address(" FD00:0::1 "), "fd00::1")
        self.refused(ip_address, "", "host.example", "10.0.0.256", "10.0.0.0/8")

    def test_keys(self) -> None:
        self.assertEqual(hex_key("0A" * 32), b"\x0a" * 32)
        self.refused(hex_key, "", "0a" * 31, "0g" * 32, "0a" * 33)

    def test_long_text_is_shortened_in_the_message(self) -> None:
        with self.assertRaises(ValueError) as caught:
            byte_size("x" * 4000)
        self.assertLess(len(str(caught.exception)), 250)

    @given(st.text(max_size=30))
    def test_any_text_is_a_value_or_a_value_error(self, text: str) -> None:
        for coerce in (byte_size, bit_rate, duration, http_url, host_name, web_origin, truth):
            try:
                coerce(text)
            except ValueError:
                continue

    @given(st.integers(0, 2**60))
    def test_plain_byte_counts_are_exact(self, size: int) -> None:
        self.assertEqual(byte_size(str(size)), size)


class PathCoercerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "key"
        self.file.write_bytes(b"k")

    def refused(self, coerce: Callable[[str], object], text: object, why: str) -> None:
        with self.assertRaises(ValueError) as caught:
            coerce(str(text))
        self.assertIn(why, str(caught.exception))

    def test_a_readable_folder_is_made_absolute(self) -> None:
        self.assertEqual(readable_directory(str(self.folder)), Path(os.path.abspath(self.folder)))

    def test_a_missing_folder_is_refused(self) -> None:
        self.refused(readable_directory, self.folder / "none", "does not exist")
        self.refused(readable_directory, "", "not a path")
        self.refused(readable_directory, "a\0b", "not a path")

    def test_a_file_is_no_folder(self) -> None:
        self.refused(readable_directory, self.file, "not a folder")
        self.refused(directory_to_fill, self.file, "not a folder")

    def test_a_link_to_a_folder_stays_a_link(self) -> None:
        link = self.folder / "link"
        link.symlink_to(self.folder.resolve())
        self.assertEqual(readable_directory(str(link)).name, "link")

    def test_a_folder_without_permission_is_refused(self) -> None:
        self.patch(os, "access", lambda *_: False)  # root may read anything
        self.refused(readable_directory, self.folder, "cannot be read")
        self.refused(readable_file, self.file, "cannot be read")
        self.refused(file_to_keep, self.folder / "new", "cannot be written")

    def test_a_cache_folder_may_be_missing(self) -> None:
        self.assertEqual(directory_to_fill(str(self.folder / "a" / "b")).name, "b")
        self.assertFalse((self.folder / "a").exists())

    def test_a_cache_folder_that_cannot_be_written_is_no_bad_option(self) -> None:
        self.patch(os, "access", lambda *_: False)
        self.assertEqual(directory_to_fill(str(self.folder)).name, self.folder.name)

    def test_files(self) -> None:
        self.assertEqual(readable_file(str(self.file)).name, "key")
        self.refused(readable_file, self.folder, "not a file")
        self.refused(readable_file, self.folder / "none", "does not exist")

    def test_a_file_to_keep_may_be_missing_but_not_its_folder(self) -> None:
        self.assertEqual(file_to_keep(str(self.folder / "new")).name, "new")
        self.assertEqual(file_to_keep(str(self.file)).name, "key")
        self.refused(file_to_keep, self.folder / "a" / "new", "does not exist")

    def test_a_device_is_no_folder(self) -> None:
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.refused(readable_directory, "/dev/null", "not a folder")
