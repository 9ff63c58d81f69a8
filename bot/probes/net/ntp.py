"""SNTP as RFC 5905 has it: one request in client mode, and what a server says of its time. No I/O."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass

PORT = 123
_PACKET = struct.Struct("!BBbbII4sQQQQ")
_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970
_CLIENT, _SERVER, _VERSION = 3, 4, 4
UNSYNCHRONISED, LAST_STRATUM = 3, 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A server's answer to our very request. Times are NTP's 64 bits, root values in ms.

    `kiss` is the code of a kiss-o'-death ("RATE", "DENY", ...), "" for anything else.
    """

    leap: int
    stratum: int
    reference: str
    kiss: str
    root_delay_ms: float
    root_dispersion_ms: float
    received: int
    sent: int

    @property
    def synchronised(self) -> bool:
        """Whether the server itself claims to know the time (RFC 5905 7.3: leap 3, stratum 0 and 16 do not)."""
        return self.leap != UNSYNCHRONISED and 0 < self.stratum <= LAST_STRATUM and self.sent != 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One exchange. `offset_ms` is the server's clock minus ours, `uncertainty_ms` bounds its error to true time."""

    offset_ms: float
    delay_ms: float
    uncertainty_ms: float
    reply: Reply


def request() -> tuple[bytes, int]:
    """(packet, nonce). The transmit time is random: it needs only to come back, and nobody learns our clock."""
    nonce = secrets.randbits(64) | 1
    return _PACKET.pack(_VERSION << 3 | _CLIENT, 0, 0, 0, 0, 0, b"\0" * 4, 0, 0, 0, nonce), nonce


def read(data: bytes, nonce: int) -> Reply | None:
    """None for what does not answer the request with that nonce: another mode, or another origin time."""
    if len(data) < _PACKET.size:
        return None
    first, stratum, _, _, delay, dispersion, reference, _, origin, received, sent = _PACKET.unpack_from(data)
    if first & 7 != _SERVER or origin != nonce:
        return None
    return Reply(
        leap=first >> 6,
        stratum=stratum,
        reference=_reference(reference, stratum),
        kiss=_ascii(reference) if stratum == 0 else "",
        root_delay_ms=delay * 1000 / 2**16,
        root_dispersion_ms=dispersion * 1000 / 2**16,
        received=received,
        sent=sent,
    )


def sample(reply: Reply, sent_s: float, rtt_ms: float) -> Sample:
    """Reckon with the reply to a request that left at `sent_s` (ours, since the epoch) and took `rtt_ms` both ways.

    offset = ((T2 - T1) + (T3 - T4)) / 2, delay = (T4 - T1) - (T3 - T2); RFC 5905 8.
    """
    t1, t4 = sent_s, sent_s + rtt_ms / 1000
    t2, t3 = _unix(reply.received, near=t1), _unix(reply.sent, near=t1)
    delay_ms = max(0.0, rtt_ms - (t3 - t2) * 1000)
    return Sample(
        offset_ms=((t2 - t1) + (t3 - t4)) * 500,
        delay_ms=delay_ms,
        uncertainty_ms=(delay_ms + reply.root_delay_ms) / 2 + reply.root_dispersion_ms,
        reply=reply,
    )


def _unix(stamp: int, *, near: float) -> float:
    """Seconds since 1970, in the era (136 years, RFC 5905 6) that is nearest to our own time."""
    seconds = stamp / 2**32 - _TO_UNIX_S
    return seconds + round((near - seconds) / 2**32) * 2**32


def _reference(raw: bytes, stratum: int) -> str:
    """A name at stratum 1 ("GPS"), the server's own server below (an address, or for IPv6 a hash of it)."""
    return _ascii(raw) if stratum <= 1 else ".".join(str(byte) for byte in raw)


def _ascii(raw: bytes) -> str:
    return "".join(chr(byte) for byte in raw if 32 < byte < 127)
