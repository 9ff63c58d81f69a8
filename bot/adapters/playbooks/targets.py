"""The URLs under `targets:` and `controls:`, and which steps fit which of them."""

from __future__ import annotations

from urllib.parse import urlsplit

from bot.domain.playbook import DATABASES, Step, Target

PORTS = {"https": 443, "http": 80, "mysql": 3306, "redis": 6379, "postgres": 5432}
SITES = ("https", "http")
_FITS = {"http": SITES, "api": SITES, "object_store": SITES, **{name: (name,) for name in DATABASES}}
"""The schemes a step of some kind is for; any other kind is for all."""


def read_target(key: str, url: str) -> Target:
    """Raises ValueError: which target, and how it must read."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{key}: {url}: the port is not a number up to 65535") from exc
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{key}: {url!r} must read https://host[:port], or begin with {_schemes()}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{key}: a password has no place in a playbook; name a login of the agents' policy instead")
    database = parts.path.strip("/")
    if parts.scheme in DATABASES and (parts.query or "/" in database or (database and parts.scheme != "postgres")):
        raise ValueError(f"{key}: {url!r} must read {parts.scheme}://host[:port]")
    return Target(
        key=key,
        url=url,
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        database=database if parts.scheme == "postgres" else "",
    )


def read_site(key: str, url: str) -> Target:
    """A target that speaks HTTP. Raises ValueError."""
    target = read_target(key, url)
    if target.scheme not in SITES:
        raise ValueError(f"{key}: {url!r} must read https://host[:port]")
    return target


def check_fits(step: Step, name: str, target: Target) -> None:
    """Raise ValueError where a step asks a target in a language it does not speak, or in a way that harms it."""
    known = _FITS.get(step.kind, tuple(PORTS))
    if target.scheme not in known:
        wanted = " or ".join(f"{scheme}://" for scheme in known)
        raise ValueError(f'a step {step.kind} needs a {wanted} target, and "{name}" is {target.url}')
    hangs_up = (step.kind == "tcp" and target.port in step.options["ports"]) or (
        step.kind == "ping" and step.options["method"] != "icmp"
    )
    if target.scheme == "mysql" and hangs_up:
        # error 1129, after max_connect_errors connections that were not answered: docs/probes.md
        raise ValueError(
            f'connecting to "{name}" without speaking MySQL gets our host blocked; ask by mysql, or ping by icmp'
        )


def _schemes() -> str:
    return ", ".join(f"{name}://" for name in DATABASES)
