"""What a certificate says, also one that does not verify."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import ProbeContext
from bot.probes.classify import CAUGHT
from bot.probes.net import dial
from bot.probes.net.stream import Tls, unverified

MAX_NAMES = 20
MAX_TEXT = 300
"""Characters of a name that are told; a hostile certificate may hold a hundred thousand."""
UNVERIFIED = frozenset({Failure.TLS_EXPIRED, Failure.TLS_UNTRUSTED, Failure.TLS_WRONG_HOST})


def describe(der: bytes, now: datetime) -> dict[str, Json]:
    """{subject, issuer, not_before, not_after, san, days_left}; {} when it cannot be read. Dates are ISO, UTC."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        names: list[str] = []
        with contextlib.suppress(x509.ExtensionNotFound):
            san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(n.value)[:MAX_TEXT] for n in san if isinstance(n, (x509.DNSName, x509.IPAddress))]
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except Exception:  # noqa: BLE001 - a certificate that cannot be read says so in a dozen types, and none is ours
        return {}
    return {
        "subject": subject[:MAX_TEXT],
        "issuer": issuer[:MAX_TEXT],
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "san": names[:MAX_NAMES],
        "days_left": (certificate.not_valid_after_utc - now).days,
    }


async def shown(
    kind: str, address: str, port: int, server_name: str, ctx: ProbeContext, timeout_s: float
) -> Mapping[str, Json] | None:
    """Shake hands once more without verifying, only to read the certificate; None when that fails too."""
    try:
        async with asyncio.timeout(timeout_s):
            connected = await dial.connect(kind, address, port, ctx)
            with contextlib.closing(connected.sock):
                tls = Tls(connected.sock, unverified(), server_name)
                await tls.shake()
    except CAUGHT:
        return None
    der = tls.object.getpeercert(binary_form=True)
    return describe(der, datetime.now(UTC)) or None if der else None
