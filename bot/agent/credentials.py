"""Vendor keys and the pod's account, from the agent's own environment and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bot.domain.errors import ConfigError
from bot.probes.base import BadParams, Credential, ServiceAccount
from bot.probes.params import literal

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts it (kubernetes.io, "Access the API from a pod")."""


def credentials(environ: Mapping[str, str]) -> dict[str, Credential]:
    """WARROOM_<VENDOR>_SECRET_ID and ..._SECRET_KEY, each also as ..._FILE. Raises ConfigError for half a pair.

    WARROOM_<VENDOR>_HOSTS names where signed calls may go, instead of the vendor's own domains.
    """
    if not any("_SECRET_" in name for name in environ):
        return {}
    # An agent without keys needs no memory for those who would take them.
    from bot.probes.vendor.vendors import VENDORS

    found = {}
    for vendor in VENDORS:
        names = [f"WARROOM_{vendor.upper()}_SECRET_{part}" for part in ("ID", "KEY")]
        ident, secret = (secret_of(environ, name) for name in names)
        if bool(ident) != bool(secret):
            raise ConfigError(f"{names[1] if ident else names[0]} is missing, while {names[0 if ident else 1]} is set")
        if ident:
            named = environ.get(f"WARROOM_{vendor.upper()}_HOSTS", "").lower().replace(",", " ").split()
            found[vendor] = Credential(id=ident, secret=secret, hosts=tuple(named) or VENDORS[vendor].hosts)
    return found


def service_account(environ: Mapping[str, str], folder: Path = ACCOUNT) -> ServiceAccount | None:
    """The account that Kubernetes mounted into this pod, None outside of one or where the pod has no token.

    The API server is dialled by the address in the environment: it must be reached while DNS is broken.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not port.isdecimal() or not (folder / "token").is_file():
        return None
    try:
        return ServiceAccount(host=literal(host, "KUBERNETES_SERVICE_HOST"), port=int(port), folder=folder)
    except BadParams:
        return None


def secret_of(environ: Mapping[str, str], name: str) -> str:
    """The variable's value, or what is in the file NAME_FILE names; "" for neither. Raises ConfigError."""
    value, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "")
    if value or not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ConfigError(f"{name}_FILE {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{name}_FILE {path}: not UTF-8") from exc
