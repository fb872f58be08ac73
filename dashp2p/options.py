"""Options of the three daemons: one table each, read from the command line and the environment.

A daemon's class lists its rows:

    class Options(DaemonOptions):
        program = "dashp2p-origin"
        options = (
            Option("root", "The folder to serve.", readable_directory, default="public/dash",
                   example="public/dash"),
            Option("listen", "Where to listen.", endpoint, default="tcp:9000", example="tcp:9000",
                   variables=("PORT",)),
        )

`--cache-size 2GiB` and `DASHP2P_CACHE_SIZE=2GiB` say the same; the command line wins, then the
DASHP2P_ name, then a row's further `variables` in their order. An empty variable counts as absent.
Everything is checked here, so that makeService cannot fail: under twistd a bad option or variable
is one line on stderr that names both, and exit status 1; elsewhere it is a usage.UsageError.
`Options.table()` returns all rows (the operations page is made from it).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import frozen
from twisted.python import usage

from dashp2p import __version__
from dashp2p import coercers as coercers
from dashp2p.coercers import (
    MAX_TEXT_CHARS,
    Coercer,
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
    text,
    truth,
    web_origin,
)

__all__ = [
    "DaemonOptions",
    "Option",
    "bit_rate",
    "byte_size",
    "choice",
    "directory_to_fill",
    "duration",
    "endpoint",
    "file_to_keep",
    "hex_key",
    "host_name",
    "http_url",
    "integer",
    "ip_address",
    "local_endpoint",
    "number",
    "readable_directory",
    "readable_file",
    "text",
    "truth",
    "web_origin",
]

PREFIX = "DASHP2P_"
MAX_REPEATS = 256
"""How often a repeatable option may be given, by command line or in one variable."""


@frozen
class Option:
    """One row: how an option is called, what it takes and what it is for."""

    name: str
    """Long name without dashes, as in `cache-size`."""
    help: str
    """What it is for: one or two sentences, each ending with a full stop."""
    coerce: Coercer[object] = text
    """From the text to the value; see dashp2p.coercers."""
    default: str | None = None
    """As a person would type it, and coerced like it; None when there is none."""
    example: str = ""
    """A value to show in --help and in the documentation."""
    variables: tuple[str, ...] = ()
    """Environment variables that are read besides DASHP2P_<NAME>."""
    short: str | None = None
    flag: bool = False
    """Takes no value: False, or True when given."""
    repeat: bool = False
    """May be given several times (in a variable: separated by commas); the value is a tuple."""
    required: bool = False

    @property
    def variable(self) -> str:
        """The environment variable of this option, as in DASHP2P_CACHE_SIZE."""
        return PREFIX + self.name.upper().replace("-", "_")

    @property
    def all_variables(self) -> tuple[str, ...]:
        """Every variable that is read for it, the strongest first."""
        return (self.variable, *self.variables)

    @property
    def form(self) -> str:
        """What the value looks like, in words."""
        return "" if self.flag else str(getattr(self.coerce, "coerceDoc", ""))

    @property
    def described(self) -> str:
        """The help text with example, form and variables."""
        example = f" E.g. --{self.name} {self.example}." if self.example and not self.flag else ""
        form = f" {self.form[0].upper()}{self.form[1:]}." if self.form not in ("", "text") else ""
        repeat = " May be given several times." if self.repeat else ""
        return f"{self.help}{form}{example}{repeat} Or ${', $'.join(self.all_variables)}."


class _Given(usage.CoerceParameter):
    """Keeps an option's text; it is coerced when all are read, with a message that names it."""

    def __init__(self, options: DaemonOptions, option: Option) -> None:
        usage.CoerceParameter.__init__(self, options, str)
        self.option = option

    def dispatch(self, parameterName: str, value: str) -> None:  # noqa: N803  # twisted's name
        self.options.given.setdefault(parameterName, []).append(value)


class DaemonOptions(usage.Options):
    """Base of the daemons' options; see the module's text. Adds --admin, --as-local, --version."""

    program: ClassVar[str] = "dashp2p"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "admin",
            "A listener of its own for /metrics, /stats and what else tells about viewers: from "
            "elsewhere these answer only there. Protect it: whoever reaches it sees all.",
            endpoint,
            example="tcp:9100:interface=10.0.0.5",
        ),
        Option(
            "admin-host",
            "A name with dots by which that listener may be asked. Addresses and plain names do "
            "without: no page on the Web can pass itself off as one.",
            host_name,
            example="peer1.ops.example",
            repeat=True,
        ),
        Option(
            "as-local",
            "An address that counts as this machine where figures are asked for: that from which a "
            "container is reached by its host.",
            ip_address,
            example="172.17.0.1",
            repeat=True,
        ),
    )
    environ: Mapping[str, str] = os.environ
    optParameters: ClassVar[list[list[str | None]]] = []
    optFlags: ClassVar[list[list[str | None]]] = []

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls._tell_usage()

    @classmethod
    def _tell_usage(cls) -> None:
        """Put this class's own rows into the lists that usage.Options gathers over the bases."""
        own: tuple[Option, ...] = cls.__dict__.get("options", ())
        cls.optParameters = [
            [row.name, row.short, row.default, row.described] for row in own if not row.flag
        ]
        cls.optFlags = [[row.name, row.short, row.described] for row in own if row.flag]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self.given: dict[str, list[str]] = {}
        for row in self.table():
            self._dispatch[row.name] = _Given(self, row)

    @classmethod
    def table(cls) -> tuple[Option, ...]:
        """All rows, the daemon's own first, each name once (a subclass may redefine a row)."""
        rows: dict[str, Option] = {}
        for base in cls.__mro__:
            for row in base.__dict__.get("options", ()):
                rows.setdefault(row.name, row)
        return tuple(rows.values())

    def parseOptions(  # noqa: N802  # twisted's name
        self, options: Sequence[str] | None = None
    ) -> None:
        """Read the command line, then the environment; see usage.Options.parseOptions."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            # twistd would print the whole help, and before 26 leave with status 0.
            raise SystemExit(f"{self.program}: {error}; see twistd {self.program} --help") from None

    def postOptions(self) -> None:
        """Give each option its typed value. A subclass that checks across options calls this first.

        Raises usage.UsageError with one line.
        """
        for row in self.table():
            self[row.name] = self._value(row)

    def _value(self, row: Option) -> object:
        texts, source = self._texts(row)
        if not texts:
            if row.required:
                raise usage.UsageError(
                    f"--{row.name} (or {row.variable}) is needed, e.g. --{row.name} {row.example}"
                )
            return () if row.repeat else False if row.flag else None
        if len(texts) > MAX_REPEATS:
            raise usage.UsageError(f"{source}: given more than {MAX_REPEATS} times")
        values = [self._coerced(row, value, source) for value in texts]
        return tuple(values) if row.repeat else values[-1]

    def _texts(self, row: Option) -> tuple[list[str], str]:
        """The texts given for a row, and where they come from, in words."""
        if row.name in self.given:
            texts = ["yes"] if row.flag else self.given[row.name]
            return texts, f"--{row.name} (or {row.variable})"
        for variable in row.all_variables:
            value = self.environ.get(variable, "")
            if value.strip():
                texts = (
                    [part for part in value.split(",") if part.strip()] if row.repeat else [value]
                )
                return texts, f"the environment variable {variable} (or --{row.name})"
        return ([] if row.default is None else [row.default]), f"--{row.name} (or {row.variable})"

    @staticmethod
    def _coerced(row: Option, value: str, source: str) -> object:
        if len(value) > MAX_TEXT_CHARS:
            raise usage.UsageError(f"{source}: longer than {MAX_TEXT_CHARS} characters")
        coerce: Coercer[object] = truth if row.flag else row.coerce
        try:
            return coerce(value)
        except ValueError as error:
            # One line, whatever was typed: it goes to a terminal and to a log.
            line = " ".join(str(error).split())
            raise usage.UsageError(f"{source}: {line}") from error

    def opt_version(self) -> None:
        """Print the version and leave."""
        from twisted import copyright

        print(
            f"{self.program} {__version__} (Twisted {copyright.version}, "
            f"Python {platform.python_version()})"
        )
        raise SystemExit(0)


DaemonOptions._tell_usage()
