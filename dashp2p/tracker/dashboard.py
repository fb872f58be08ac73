"""The dashboard's files: its own from this package, and what it shares with the player page.

They are read once, at the start: few, small, and then no request can name a path.
"""

from __future__ import annotations

from importlib.resources import files

from attrs import frozen
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from dashp2p.places import client_folder
from dashp2p.web.json import ErrorResource, not_allowed

DASHBOARD = "dashboard.html"
SHARED = ("format.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
"""Of the player page's folder; without them the page says what is missing."""
TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@frozen
class PageFile:
    media_type: bytes
    body: bytes


def dashboard_files() -> dict[str, PageFile]:
    """All files by the name that pages ask for below /ui/."""
    found: dict[str, PageFile] = {}
    for item in files("dashp2p.tracker").joinpath("pages").iterdir():
        ending = item.name.rpartition(".")[2]
        if ending in TYPES:
            found[item.name] = PageFile(TYPES[ending], item.read_bytes())
    folder = client_folder()
    shared = [] if folder is None else [folder / name for name in SHARED]
    for path in shared:
        if path.is_file():
            found[path.name] = PageFile(TYPES[path.suffix[1:]], path.read_bytes())
    return found


class FileResource(Resource):
    """Answers with one file."""

    isLeaf = True

    def __init__(self, file: PageFile) -> None:
        Resource.__init__(self)
        self._file = file

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD")
        request.setHeader(b"Content-Type", self._file.media_type)
        request.setHeader(b"Content-Length", b"%d" % len(self._file.body))
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Content-Security-Policy", POLICY)
        request.setHeader(b"Referrer-Policy", b"no-referrer")
        return b"" if request.method == b"HEAD" else self._file.body


class FilesResource(Resource):
    """/ui/NAME."""

    def __init__(self, found: dict[str, PageFile]) -> None:
        Resource.__init__(self)
        self._found = found

    def getChild(self, path: bytes, request: Request) -> IResource:
        file = self._found.get(path.decode("latin-1"))
        if file is None:
            return ErrorResource(404, "the dashboard has no such file; dashp2p doctor says more")
        return FileResource(file)
