"""Addresses of clients, as far as counting and trusting them go."""

from __future__ import annotations

import ipaddress

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

NETWORK_BITS_V6 = 64
"""What one subscriber gets at least in IPv6; single addresses there cost nothing."""


def _ip(address: IAddress | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    host = getattr(address, "host", None)
    if not isinstance(host, str):
        return None
    try:
        found = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return found if mapped is None else mapped


def is_loopback(address: IAddress | None) -> bool:
    """Whether a client is on this machine: 127.0.0.0/8, ::1 or a UNIX socket."""
    found = _ip(address)
    return isinstance(address, UNIXAddress) if found is None else found.is_loopback


def is_at(address: IAddress | None, hosts: frozenset[str]) -> bool:
    """Whether a client's address is one of these (IPv4 dotted, IPv6 compressed)."""
    found = _ip(address)
    return found is not None and str(found) in hosts


def address_group(address: IAddress | None) -> str:
    """What connections are counted by: an IPv4 address, an IPv6 /64, or the kind of address."""
    found = _ip(address)
    if found is None:
        return type(address).__name__
    if found.version == 6:
        return str(ipaddress.ip_network((found, NETWORK_BITS_V6), strict=False))
    return str(found)
