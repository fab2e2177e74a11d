"""Which addresses may be dialled: those of the open internet, or those of this machine.

A name proves nothing, since it may resolve to anything, and to something else a moment
later. So the decision is taken where a socket is opened, on the very address that it
is opened to.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import aiohttp

# Global by their registration, yet they lead elsewhere: translations of private
# addresses, tunnels, and assignments for protocols.
_LEADING_ELSEWHERE = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",
            "192.88.99.0/24",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/23",
            "2002::/16",
            "fec0::/10",
        ),
    )
)


class ForbiddenAddress(OSError):
    """A connection to this address is not allowed."""


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the open internet, without doubt."""
    ip = _parse(address)
    if ip is None or ip.is_multicast or not ip.is_global:
        return False
    return not any(ip in net for net in _LEADING_ELSEWHERE if net.version == ip.version)


def is_here(address: str) -> bool:
    """Tell whether an IP address is of this machine alone."""
    ip = _parse(address)
    return ip is not None and ip.is_loopback


def _parse(
    address: str,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def make_guard(
    is_allowed: Callable[[str], bool],
) -> Callable[[Any], socket.socket]:
    """Make a factory of sockets that refuses other addresses.

    It takes what ``getaddrinfo`` gives of one address, as aiohttp hands it on.
    """

    def open_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0])):
            raise ForbiddenAddress(errno.EACCES, "this address is not allowed")
        return socket.socket(family, kind, protocol)

    return open_socket


def is_forbidden(error: BaseException) -> bool:
    """Tell whether a connection failed because of its address."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ForbiddenAddress)
