"""Tencent COS: its own signature, q-sign-algorithm=sha1 (COS documentation, "Request signature")."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from bot.probes.base import Credential


def authorization(
    credential: Credential,
    *,
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    begins: int,
    ends: int,
) -> str:
    """The Authorization header, good from `begins` to `ends` (epoch seconds). `path` is not encoded."""
    span = f"{begins};{ends}"
    key = hmac.digest(credential.secret.encode(), span.encode(), "sha1").hex()
    param_names, param_text = _listed(params)
    header_names, header_text = _listed(headers)
    request = f"{method.lower()}\n{path}\n{param_text}\n{header_text}\n"
    to_sign = f"sha1\n{span}\n{hashlib.sha1(request.encode(), usedforsecurity=False).hexdigest()}\n"
    value = hmac.digest(key.encode(), to_sign.encode(), "sha1").hex()
    return (
        f"q-sign-algorithm=sha1&q-ak={credential.id}&q-sign-time={span}&q-key-time={span}"
        f"&q-header-list={header_names}&q-url-param-list={param_names}&q-signature={value}"
    )


def _listed(pairs: Mapping[str, str]) -> tuple[str, str]:
    """The names by semicolons and the pairs by ampersands, both encoded, in lower case and sorted by name."""
    encoded = sorted((quote(name, safe="").lower(), quote(value, safe="")) for name, value in pairs.items())
    return ";".join(name for name, _ in encoded), "&".join(f"{name}={value}" for name, value in encoded)
