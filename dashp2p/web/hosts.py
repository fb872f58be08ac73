"""Which names a local daemon answers to.

A page of any site may have its own name resolve to 127.0.0.1 (DNS rebinding) and then talk to our
player listener as if it were its own server. Its requests still carry that name in Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from twisted.web.resource import IResource
from twisted.web.server import Request

from dashp2p.web.json import ErrorResource

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def host_of(request: Request) -> str | None:
    """The name in the request's Host header, lower case, without port and brackets.

    None when it is missing, given twice, or not a host.
    """
    values = request.requestHeaders.getRawHeaders("Host") or []
    match = _HOST.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        return None
    return (match.group(1) or match.group(2).rstrip(".")).lower()


class HostGuard:
    """Refuses requests for other names than loopback's and the given ones; any port will do.

    Give it to BoundedSite as its guard. 421 is the status for 'not mine to answer' (RFC 9110,
    15.5.20).
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(LOOPBACK_NAMES) | {name.lower() for name in names}

    def __call__(self, request: Request) -> IResource | None:
        if host_of(request) in self.names:
            return None
        return ErrorResource(
            421, "this daemon does not answer to that host name; --allow-host NAME adds one"
        )


class AdminGuard:
    """The same for an --admin listener, which has no names of its own: it is asked by address, or
    by a name without a dot, as in a network of containers. No site on the Web has such a name, so
    none can be made to resolve to here. `names` are further ones.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(name.lower() for name in names)

    def __call__(self, request: Request) -> IResource | None:
        host = host_of(request)
        if host is not None and (host in self.names or "." not in host or _is_address(host)):
            return None
        return ErrorResource(
            421, "figures are not told under that host name; --admin-host NAME adds one"
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
