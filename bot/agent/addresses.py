"""What an IP literal leads to: the addresses hidden in it, and whose they are. Pure.

Sources: IANA special-purpose address registries; RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo),
RFC 5214 (ISATAP), RFC 4291 (mapped, compatible), RFC 2765 (translated); the clouds' own pages for metadata.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA: Mapping[Ip, str] = {
    ipaddress.ip_address(literal): cloud
    for literal, cloud in (
        ("169.254.169.254", "cloud metadata (AWS, Azure, Google, Tencent)"),
        ("169.254.170.2", "AWS container credentials"),
        ("169.254.170.23", "AWS pod identity"),
        ("169.254.0.23", "Tencent metadata"),
        ("169.254.42.42", "Scaleway metadata"),
        ("100.100.100.200", "Alibaba metadata"),
        ("100.96.0.96", "Volcengine metadata"),
        ("168.63.129.16", "Azure host agent"),
        ("192.0.0.192", "Oracle metadata"),
        ("fd00:ec2::254", "AWS metadata"),
        ("fd00:ec2::23", "AWS pod identity"),
        ("fd20:ce::254", "Google metadata"),
        ("fd00:42::42", "Scaleway metadata"),
    )
}

_PRIVATE = tuple(
    (ipaddress.ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
"""IANA special-purpose IPv4 blocks that are somebody's own; documentation blocks reach nothing and pass."""
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")
_TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")
_PREFIXES = (32, 40, 48, 56, 64, 96)
"""Lengths of a translator's prefix (RFC 6052 2.2); the IPv4 address follows it, around the bits 64 to 71."""


def subjects(ip: Ip) -> Sequence[Ip]:
    """The addresses that a packet to `ip` may reach: every IPv4 address embedded in it, else itself."""
    if isinstance(ip, ipaddress.IPv4Address) or ip in METADATA:
        return (ip,)
    low = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped:
        return (ip.ipv4_mapped,)
    if ip.sixtofour:
        return (ip.sixtofour,)
    if ip.teredo:
        return ip.teredo
    if ip in _NAT64 or ip in _TRANSLATED or (ip in _COMPATIBLE and int(ip) > 0xFFFF):
        return (low,)
    # The bits "universal" and "group" of an ISATAP interface may be either way.
    isatap = (int(ip) >> 32) & 0xFCFFFFFF == 0x00005EFE
    return (ip, low) if isatap or ip in _LOCAL_NAT64 else (ip,)


def metadata(ip: Ip) -> Ip | None:
    """The metadata address that `ip` is, or that a translator of any prefix would read in it; else None.

    No real host has one of these ten or so numbers in its address by chance, so every IPv6 address is looked at.
    """
    return next((inner for inner in (ip, *subjects(ip), *_translated(ip)) if inner in METADATA), None)


def _translated(ip: Ip) -> Iterator[Ip]:
    if isinstance(ip, ipaddress.IPv6Address):
        number = int(ip)
        for length in _PREFIXES:
            # Without the octet at 64 to 71 the IPv4 address stands in one piece.
            whole = number if length == 96 else (number >> 64 << 56) | (number & (1 << 56) - 1)
            width = 128 if length == 96 else 120
            yield ipaddress.IPv4Address(whole >> (width - length - 32) & 0xFFFFFFFF)


def private(ip: Ip) -> str:
    """What kind of somebody's own an address is; "" for a public one."""
    if isinstance(ip, ipaddress.IPv4Address):
        return next((name for network, name in _PRIVATE if ip in network), "")
    if ip in _GLOBAL_V6:
        return ""
    if ip.is_loopback or ip.is_unspecified:
        return "loopback" if ip.is_loopback else "unspecified"
    if ip.is_multicast:
        return "multicast"
    return "link-local" if ip.is_link_local else "private (not global unicast)"


def no_network(text: str) -> str:
    """What is wrong with it; an address within a network is told the network it may have meant."""
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"must be a CIDR network, not {text!r}"
    return f"{text!r} has host bits; did you mean {str(meant)!r}?"
