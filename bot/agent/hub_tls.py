"""TLS towards the bot: which roots count, and what to do about the two mistakes that everybody makes once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from bot.domain.errors import ConfigError

_PLAIN = ("wrong version number", "record layer failure", "packet length too long")
"""OpenSSL's words for bytes that are no TLS; which of them depends on its version."""
_WITHOUT = {"https": "http", "wss": "ws", "tls": "nats"}


def trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The system's roots, and those of WARROOM_HUB_CA_FILE for a bot with a private CA. Raises ConfigError."""
    context = ssl.create_default_context()
    extra = environ.get("WARROOM_HUB_CA_FILE")
    if extra:
        try:
            context.load_verify_locations(cafile=extra)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"WARROOM_HUB_CA_FILE {extra}: {exc}") from exc
    return context


def tls_hint(exc: Exception, url: str) -> str:
    """The next step after a failed handshake with the bot; "" for any other error."""
    scheme, _, rest = url.partition("://")
    said = str(exc).lower().replace("_", " ")
    if scheme not in _WITHOUT:
        return ""
    if any(words in said for words in _PLAIN):
        return f"there is no TLS at this port; write {_WITHOUT[scheme]}://{rest.partition('/')[0]}"
    if "certificate verify failed" in said:
        return "for a bot with a private CA or a certificate of its own, name its file in WARROOM_HUB_CA_FILE"
    return ""
