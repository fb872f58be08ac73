"""Where peers are: what a public address says of its surroundings, and which private ones pass."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from attrs import frozen

from dashp2p.tracker import limits

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""RFC 1918 and RFC 4193. Not loopback, link-local (where clouds answer with credentials) or the
carriers' 100.64.0.0/10: nobody shares those with a neighbour."""

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")


@frozen
class HostPort:
    """An address that a peer listens on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Whereabouts:
    """A socket's remote address, and what follows from it."""

    host: str
    site: str
    """Who shares it may share a private network: one IPv4 address (a NAT), or one IPv6 /64."""
    network: str
    """The /24 or /64: who shares it is near."""
    loopback: bool
    local: bool
    """Loopback, private or link-local: no stranger can be sent there."""


@lru_cache(maxsize=65_536)
def whereabouts(host: str) -> Whereabouts:
    """Raises ValueError where `host` is not an IP address. A zone ("%eth0") is dropped."""
    ip = _parsed(host)
    network = network_of(str(ip))
    local = ip.is_loopback or ip.is_link_local or is_private(ip)
    site = str(ip) if ip.version == 4 or ip.is_loopback else network
    return Whereabouts(str(ip), site, network, ip.is_loopback, local)


@lru_cache(maxsize=65_536)
def network_of(host: str) -> str:
    """The IPv4 /24 or IPv6 /64 of an address."""
    ip = _parsed(host)
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))


def is_private(ip: IP) -> bool:
    return any(ip in network for network in _PRIVATE_NETWORKS if network.version == ip.version)


@lru_cache(maxsize=65_536)
def private_address(text: str) -> HostPort | None:
    """'10.0.0.5:4001' or '[fd00::1]:4001', or None where nobody should be sent to it.

    Peers announce what their interfaces have; what is not private is not an error, only not told.
    Raises ValueError where it is no address and port at all.
    """
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError("not an address and a port")
    ip = _parsed(match.group(1) or match.group(2))
    port = int(match.group(3))
    if not 1 <= port <= 65_535:
        raise ValueError("not a port")
    if not is_private(ip) or port < limits.MIN_PRIVATE_PORT:
        return None
    return HostPort(str(ip), port)


def _parsed(host: str) -> IP:
    ip = ipaddress.ip_address(host.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return ip if mapped is None else mapped
