"""Hostile targets: what a hub that was taken over, or a name server that lies, would have an agent touch.

Each case says where it goes (the parameter), under which policy, and a word of the rule that must refuse it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

DEFAULT = "default"
"""The policy without a file: public addresses, nothing private."""
OPEN = "open"
"""A policy that allows every network, port and kind: only what is never allowed is left to refuse."""
NO_ADDRESS = r"must be an IP address"
NO_HOST = r"must (be a DNS name or an IP address|have a DNS name or an IP address for its host)|ASCII"


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile target. `slot` is the parameter it is put in; `says` a pattern of the reason it must get."""

    slot: str
    value: str
    says: str
    policy: str = DEFAULT

    @property
    def id(self) -> str:
        """How tests name it."""
        return f"{self.policy}-{self.slot}-{self.value}"


def _v4(*parts: str) -> tuple[str, ...]:
    return parts


LOOPBACK = _v4("127.0.0.1", "127.0.0.0", "127.0.0.53", "127.1.2.3", "127.255.255.254", "127.255.255.255")
PRIVATE = _v4(
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.20.10.5", "172.31.255.255", "192.168.0.1", "192.168.255.254",
)  # fmt: skip
LINK_LOCAL = _v4("169.254.0.1", "169.254.1.1", "169.254.20.10", "169.254.169.253", "169.254.255.255")
NAT = _v4("100.64.0.1", "100.100.2.136", "100.127.255.255")
NOWHERE = _v4("0.0.0.0", "0.0.0.1", "0.255.255.255")
GROUPS = _v4("224.0.0.1", "224.0.0.251", "239.255.255.250")
RESERVED = _v4("240.0.0.1", "255.255.255.255", "192.0.0.1", "192.88.99.1")
BENCH = _v4("198.18.0.1", "198.19.255.255")
METADATA = _v4(
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42", "100.100.100.200",
    "100.96.0.96", "168.63.129.16", "192.0.0.192",
)  # fmt: skip
METADATA_6 = ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fd00:c1::a9fe:a9fe")

_PLAIN = (
    (LOOPBACK, "loopback"), (PRIVATE, "private"), (LINK_LOCAL, "link-local"), (NAT, "carrier-grade NAT"),
    (NOWHERE, "unspecified"), (GROUPS, "multicast"), (RESERVED, "reserved"), (BENCH, "benchmarking"),
    (METADATA, "never allowed"),
)  # fmt: skip
_PLAIN_6 = (
    ("::1", "loopback"), ("::", "unspecified"), ("fe80::1", "link-local"), ("febf::1", "link-local"),
    ("fc00::1", "private"), ("fd12:3456:789a::1", "private"), ("fec0::1", "private"), ("ff02::1", "multicast"),
    ("ff05::2", "multicast"), ("ff0e::1", "multicast"), ("100::1", "private"), ("::2", "private"),
    ("5f00::1", "private"), ("4000::1", "private"), ("64:ff9b:1::1", "private"),
)  # fmt: skip


def embedded(v4: str) -> dict[str, str]:
    """An IPv4 address in every IPv6 address that leads to it."""
    n = int(ipaddress.IPv4Address(v4))
    high, low = n >> 16, n & 0xFFFF
    flipped = n ^ 0xFFFFFFFF
    return {
        "mapped": f"::ffff:{v4}",
        "mapped-hex": f"::ffff:{high:x}:{low:x}",
        "mapped-long": f"0:0:0:0:0:ffff:{high:04x}:{low:04x}",
        "compatible": f"::{v4}",
        "translated": f"::ffff:0:{v4}",
        "nat64": f"64:ff9b::{v4}",
        "nat64-local": f"64:ff9b:1::{high:x}:{low:x}",
        "6to4": f"2002:{high:x}:{low:x}::1",
        "6to4-zero": f"2002:{high:x}:{low:x}::",
        "teredo-client": f"2001:0:4136:e378:8000:63bf:{flipped >> 16:x}:{flipped & 0xFFFF:x}",
        "teredo-server": f"2001:0:{high:x}:{low:x}:8000:63bf:f7f7:f7f7",
        "isatap": f"2a00:1450::5efe:{high:x}:{low:x}",
        "isatap-global": f"2a00:1450::200:5efe:{high:x}:{low:x}",
        "isatap-group": f"2a00:1450::100:5efe:{high:x}:{low:x}",
    }


def rfc6052(v4: str) -> dict[str, str]:
    """An IPv4 address behind a translator's own prefix, for each length of RFC 6052; no default policy knows these."""
    n = int(ipaddress.IPv4Address(v4))
    prefix = int(ipaddress.IPv6Address("2a0c:b641::"))
    found = {}
    for length in (32, 40, 48, 56, 64, 96):
        if length == 96:
            whole = prefix | n
        else:
            shifted = n << (120 - length - 32)
            whole = prefix | (shifted >> 56 << 64) | (shifted & (1 << 56) - 1)
        found[f"/{length}"] = str(ipaddress.IPv6Address(whole))
    return found


def numbers(v4: str) -> tuple[str, ...]:
    """Spellings that inet_aton(3), a browser or a curl would read as this address."""
    a, b, c, d = (int(part) for part in v4.split("."))
    n = int(ipaddress.IPv4Address(v4))
    full_width = v4.translate({ord(str(i)): chr(0xFF10 + i) for i in range(10)})
    circled = v4.translate({ord(str(i)): chr(0x245F + i) for i in range(1, 10)})
    return (
        str(n), hex(n), f"0X{n:X}", f"0{n:o}", f"{a}.{b << 16 | c << 8 | d}", f"{a}.{b}.{c << 8 | d}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"00000{a:o}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.0x{d:x}", f"0x{a:x}.{n & 0xFFFFFF}", f"{a}.{b}.{c}.{d:04d}", f"{v4}.", full_width, circled,
        v4.replace(".", "\u3002"), v4.replace(".", "\uff0e"), v4.replace(".", "%2e"), f"%{ord(v4[0]):x}{v4[1:]}",
        f"{v4}%00.example.com", f"{n + (1 << 32)}", f"{a + 256}.{b}.{c}.{d}", f"{v4}/32", f" {v4}", f"{v4}\t",
    )  # fmt: skip


ZONES = ("fe80::1%lo", "fe80::1%eth0", "fe80::1%1", "::1%lo", "ff02::1%lo", "::ffff:127.0.0.1%lo")


def _literals() -> list[Case]:
    cases = [Case("address", a, says) for group, says in _PLAIN for a in group]
    cases += [Case("address", a, says) for a, says in _PLAIN_6]
    for v4, says in (("127.0.0.1", "loopback"), ("10.0.0.1", "private"), ("169.254.1.1", "link-local")):
        cases += [Case("address", a, f"{says}|not global unicast") for a in embedded(v4).values()]
    for v4 in ("169.254.169.254", "100.100.100.200"):
        cases += [Case("address", a, "never allowed", OPEN) for a in embedded(v4).values()]
        cases += [Case("address", a, "never allowed", OPEN) for a in rfc6052(v4).values()]
    cases += [Case("address", a, "never allowed", OPEN) for a in (*METADATA, *METADATA_6)]
    for v4 in ("127.0.0.1", "169.254.169.254"):
        cases += [Case("address", text, NO_ADDRESS + "|printable", OPEN) for text in numbers(v4)]
    cases += [Case("address", a, "without a zone", OPEN) for a in ZONES]
    return cases


def _hosts() -> list[Case]:
    cases = [Case("host", text, NO_HOST + "|printable", OPEN) for text in numbers("169.254.169.254")]
    cases += [Case("host", a, "loopback|link-local|private|never allowed") for a in ("127.0.0.1", "::1", "10.0.0.1")]
    cases += [
        Case("host", a, "never allowed", OPEN) for a in ("169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe")
    ]
    return cases


def _urls() -> list[Case]:
    where = "169.254.169.254"
    cases = [
        Case("url", f"http://{text}/latest/", f"{NO_HOST}|not a URL|printable", OPEN) for text in numbers(where)[:21]
    ]
    for spelled in ("mapped", "mapped-hex", "nat64", "6to4", "translated", "isatap", "compatible"):
        cases.append(Case("url", f"http://[{embedded(where)[spelled]}]/", "never allowed", OPEN))
    cases += [
        Case("url", f"http://{where}/", "never allowed", OPEN),
        Case("url", f"HTTP://{where}:80/latest/meta-data/", "never allowed", OPEN),
        Case("url", f"http://{where}:8080/", "never allowed", OPEN),
        Case("url", f"http://{where}#@public.test/", "never allowed", OPEN),
        Case("url", f"http://{where}?@public.test/", "never allowed", OPEN),
        Case("url", f"http://{where}/@public.test/", "never allowed", OPEN),
        Case("url", f"http://{where}:@public.test/", "credentials", OPEN),
        Case("url", f"http://public.test@{where}/", "credentials", OPEN),
        Case("url", f"http://public.test:80@{where}/", "credentials", OPEN),
        Case("url", f"http://a:b@{where}/", "credentials", OPEN),
        Case("url", f"http://@{where}/", "credentials", OPEN),
        Case("url", f"http://public.test%40{where}/", NO_HOST, OPEN),
        Case("url", f"http://public.test\\@{where}/", "credentials|" + NO_HOST, OPEN),
        Case("url", f"http://{where}\\@public.test/", "credentials|" + NO_HOST, OPEN),
        Case("url", f"http://{where}\\.public.test/", NO_HOST, OPEN),
        Case("url", f"http:\\\\{where}\\", "absolute http", OPEN),
        Case("url", f"http:/{where}/", "absolute http", OPEN),
        Case("url", f"http:{where}/", "absolute http", OPEN),
        Case("url", f"//{where}/", "absolute http", OPEN),
        Case("url", f"{where}/", "absolute http", OPEN),
        Case("url", f"http://{where}:0/", "port", OPEN),
        Case("url", f"http://{where}:65616/", "not a URL", OPEN),
        Case("url", f"http://{where}:80a/", "not a URL", OPEN),
        Case("url", f"http://{where}:-80/", "not a URL", OPEN),
        Case("url", f"http://{where}:\uff18\uff10/", "not a URL|ASCII", OPEN),
        Case("url", f"http://{where}:80:80/", "not a URL|" + NO_HOST, OPEN),
        Case("url", f"http://{where} /", "ASCII|printable", OPEN),
        Case("url", f"http://{where}\r\nHost: public.test/", "printable", OPEN),
        Case("url", f"http://public.test\r\n@{where}/", "printable", OPEN),
        Case("url", f"http://{where}\x00.public.test/", "printable", OPEN),
        Case("url", f"ftp://{where}/", "absolute http", OPEN),
        Case("url", f"gopher://{where}:80/_GET", "absolute http", OPEN),
        Case("url", "file:///etc/passwd", "absolute http", OPEN),
        Case("url", f"unix://{where}/", "absolute http", OPEN),
        Case("url", "http://[::1]/", "loopback"),
        Case("url", "http://[0:0:0:0:0:0:0:1]/", "loopback"),
        Case("url", "http://[::FFFF:127.0.0.1]/", "loopback"),
        Case("url", "http://[fe80::1%25lo]/", "zone|not a URL|" + NO_HOST),
        Case("url", "http://[fe80::1%lo]/", "zone|not a URL|" + NO_HOST),
        Case("url", "http://[::1/", "not a URL"),
        Case("url", "http://::1/", "not a URL|" + NO_HOST),
        Case("url", "http://[127.0.0.1]/", "not a URL|loopback"),
        Case("url", "http://[v1.fe80::a]/", "not a URL|" + NO_HOST),
        Case("url", "http://127.0.0.1:22/", "loopback"),
        Case("url", "http://127.0.0.1:6379/", "loopback"),
        Case("url", "https://127.0.0.1/", "loopback"),
        Case("url", "http://\u2460\u2461\u2466.0.0.1/", "ASCII"),
        Case("url", "http://loc\u0430lhost/", "ASCII"),
        Case("url", "http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/", "ASCII"),
        Case("url", "http://l%6fcalhost/", NO_HOST),
        Case("url", "http://127.0.0.1.:80/", NO_HOST),
        Case("url", "http://0/", NO_HOST),
        Case("url", "http://0x/", NO_HOST),
        Case("url", "http://%00/", NO_HOST),
        Case("url", "http://public.test..169.254.169.254/", NO_HOST),
        Case("url", "http:///", "absolute http"),
        Case("url", "http://:80/", "absolute http"),
        Case("url", "http://?/", "absolute http"),
    ]  # fmt: skip
    return cases


def _servers() -> list[Case]:
    plain = (
        ("127.0.0.1", "loopback"), ("10.0.0.2", "private"), ("169.254.20.10", "link-local"), ("[::1]:53", "loopback"),
        ("::ffff:10.0.0.2", "private"), ("127.0.0.1:5353", "loopback"), ("64:ff9b::10.0.0.2", "private"),
    )  # fmt: skip
    cases = [Case("server", a, says) for a, says in plain]
    cases += [
        Case("server", a, "never allowed", OPEN)
        for a in ("169.254.169.254", "100.100.100.200:53", "[::ffff:a9fe:a9fe]:53")
    ]
    refused = (
        "2852039166", "0x7f.1", "localhost", "127.1:53", "127.0.0.1:0", "127.0.0.1:+53", "127.0.0.1:\u0665\u0663",
        "[fe80::1%lo]:53", "[::1]x53", "@nowhere", "@", "/etc/hosts",
    )  # fmt: skip
    return cases + [Case("server", a, "must be an IP|no valid port|zone|knows no resolver", OPEN) for a in refused]


NAMES: dict[str, str] = {
    "a-loopback.test": "loopback",
    "a-private.test": "private",
    "a-link-local.test": "link-local",
    "a-nat.test": "carrier-grade NAT",
    "a-zero.test": "unspecified",
    "a-broadcast.test": "reserved",
    "a-multicast.test": "multicast",
    "aaaa-loopback.test": "loopback",
    "aaaa-mapped.test": "loopback",
    "aaaa-nat64.test": "private",
    "aaaa-6to4.test": "private",
    "aaaa-unique-local.test": "private",
    "aaaa-link-local.test": "link-local",
    "cname-private.test": "private",
    "cname-chain.test": "private",
    "cname-loop-private.test": "private",
    "stranger-private.test": "private",
    "first-private.test": "private",
    "Mixed-CASE.test": "private",
    "dot-at-the-end.test.": "private",
    "under_score.test": "private",
    "xn--nxasmq6b.test": "private",
    "localhost.test": "loopback",
    "127.0.0.1.nip.test": "loopback",
    "rebind.test": "private",
    "rebind-metadata.test": "never allowed",
}  # fmt: skip
"""Names of the hostile name server, under the default policy."""
NEVER: tuple[str, ...] = (
    "metadata.test", "metadata-alibaba.test", "metadata-mapped.test", "metadata-nat64.test", "metadata-6to4.test",
    "metadata-cname.test", "metadata.google.internal", "metadata-prefix.test",
)  # fmt: skip


def _names() -> list[Case]:
    cases = []
    for slot, spell in (("host", "{}"), ("url", "http://{}/")):
        cases += [Case(slot, spell.format(name), says) for name, says in NAMES.items()]
        cases += [Case(slot, spell.format(name), "never allowed", OPEN) for name in NEVER]
    return cases


REDIRECTS = (
    *(f"{status}-{to}" for status in (301, 302, 303, 307, 308) for to in ("metadata", "loopback", "name", "scheme")),
    "302-relative", "302-network-path", "302-chain", "302-file", "302-gopher", "300-choices", "305-use-proxy",
    "201-created", "200-meta-refresh", "200-refresh-header", "200-link", "200-alt-svc", "200-content-location",
    "401-challenge", "101-switch", "103-early-hints", "407-proxy",
)  # fmt: skip
"""Answers of a public web server that point inside; nothing is refused, and nothing is followed."""

CASES: tuple[Case, ...] = tuple(
    {case.id: case for case in [*_literals(), *_hosts(), *_urls(), *_servers(), *_names()]}.values()
)
