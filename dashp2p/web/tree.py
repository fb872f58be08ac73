"""The root of a daemon's addresses: what is not put there is a 404 in JSON."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from dashp2p.web.json import ErrorResource

NOTHING_HERE = "there is nothing at this address"


class Tree(Resource):
    """A resource with children and nothing of its own."""

    def __init__(self, children: Mapping[str, IResource]) -> None:
        Resource.__init__(self)
        for name, child in children.items():
            self.putChild(name.encode("ascii"), child)

    def getChild(self, path: bytes, request: Request) -> IResource:
        return ErrorResource(404, NOTHING_HERE)

    def render(self, request: Request) -> bytes:
        return ErrorResource(404, NOTHING_HERE).render(request)
