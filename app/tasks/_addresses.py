"""Fetching tasks: which addresses a user's URL may lead to.

Refused are link-local and cloud metadata addresses, where a machine's own credentials are handed out, and what is no
host at all. Loopback and private addresses are allowed: that is where users' own services are. Where URLs come from
strangers, refuse those too, by network policy or here.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_REFUSED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "240.0.0.0/4",
            "fe80::/10",
            # Metadata outside the link-local ranges: Alibaba, Oracle, Azure, AWS, Google.
            "100.100.100.200/32",
            "192.0.0.192/32",
            "168.63.129.16/32",
            "fd00:ec2::/32",
            "fd20:ce::254/128",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(ValueError):
    """The URL leads to an address that tasks must not talk to."""


def resolve(host: str, port: int) -> list[Address]:
    """Return every address of `host`, in the resolver's order.

    Raises AddressRefused when one of them is refused (a name may have a good one for the check and a bad one for
    the connection), ConnectionError when the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectionError(f"{host} has no address: {error}") from None
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))
    for address in addresses:
        if is_refused(address):
            raise AddressRefused(f"{host} leads to {address}, a link-local, metadata or unusable address: not fetched")
    return addresses


def is_refused(address: Address) -> bool:
    """Return whether tasks must not talk to `address`, also when it is an IPv4 address inside an IPv6 one."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None and is_refused(inner):
            return True
        # A scope ("%eth0") keeps an address from being found in its network.
        address = IPv6Address(address.packed)
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return True
    return any(address in network for network in _REFUSED if network.version == address.version)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    plain = IPv6Address(address.packed)
    if address.teredo:
        return address.teredo[1]
    # NAT64, and the old compatible form ::a.b.c.d.
    if plain in _NAT64 or 1 < int(plain) < 2**32:
        return IPv4Address(int(plain) & 0xFFFFFFFF)
    return None
