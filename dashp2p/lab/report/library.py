"""The chart library, to be put into the page: a report is one file and asks no network."""

from __future__ import annotations

from importlib.resources import files

from attrs import frozen

from dashp2p.places import client_folder

_SCRIPT, _STYLE = "uPlot.iife.min.js", "uPlot.min.css"


@frozen
class Assets:
    """What goes into the page besides its words."""

    style: str
    script: str
    chart_style: str
    chart_script: str
    """Empty where the library was never fetched: the page then has its tables alone."""


def assets() -> Assets:
    """Read them, wherever this program is installed."""
    own = files(__package__)
    client = client_folder()
    vendor = client / "vendor" if client else None
    whole = vendor is not None and all((vendor / name).is_file() for name in (_SCRIPT, _STYLE))
    return Assets(
        style=(own / "report.css").read_text(),
        script=(own / "report.js").read_text(),
        chart_style=(vendor / _STYLE).read_text() if vendor and whole else "",
        chart_script=(vendor / _SCRIPT).read_text() if vendor and whole else "",
    )
