"""Vendor keys, from the agent's own environment and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bot.domain.errors import ConfigError
from bot.probes.base import Credential
from bot.probes.vendors import VENDORS


def credentials(environ: Mapping[str, str]) -> dict[str, Credential]:
    """WARROOM_<VENDOR>_SECRET_ID and ..._SECRET_KEY, each also as ..._FILE. Raises ConfigError for half a pair.

    WARROOM_<VENDOR>_HOSTS names where signed calls may go, instead of the vendor's own domains.
    """
    found = {}
    for vendor in VENDORS:
        names = [f"WARROOM_{vendor.upper()}_SECRET_{part}" for part in ("ID", "KEY")]
        ident, secret = (_secret(environ, name) for name in names)
        if bool(ident) != bool(secret):
            raise ConfigError(f"{names[1] if ident else names[0]} is missing, while {names[0 if ident else 1]} is set")
        if ident:
            named = environ.get(f"WARROOM_{vendor.upper()}_HOSTS", "").lower().replace(",", " ").split()
            found[vendor] = Credential(id=ident, secret=secret, hosts=tuple(named) or VENDORS[vendor].hosts)
    return found


def _secret(environ: Mapping[str, str], name: str) -> str:
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name, "").strip()
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{name}_FILE: {path} cannot be read ({type(exc).__name__})") from exc
