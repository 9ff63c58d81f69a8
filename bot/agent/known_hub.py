"""What an agent remembers of its hub between starts: the key it trusts, and where the hub was last reached."""

from __future__ import annotations

import ipaddress
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from bot.agent.keys import file_name

log = logging.getLogger("warroom.agent")
MAX_ADDRESSES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownHub:
    """The hub of one URL. `public_key` is "" before they met; `addresses` are IP literals, newest first."""

    public_key: str = ""
    addresses: tuple[str, ...] = ()


class HubMemory:
    """Keeps it in one file per agent and URL. Where no file can be kept it lives for this run only."""

    def __init__(self, folder: Path | None, *, agent: str, url: str) -> None:
        self._path = folder / f"hub-{file_name(agent)}.json" if folder else None
        self._url = url
        self.known = self._read()

    def trust(self, public_key: str) -> None:
        """From now on the hub is the one with this key."""
        if public_key != self.known.public_key:
            if self.known.public_key:
                log.warning(
                    "the hub has another key than before and has shown that it knows the token; it is trusted now"
                )
            self._keep(KnownHub(public_key=public_key, addresses=self.known.addresses))

    def reached(self, address: str) -> None:
        """The hub answered at this address: it is tried when its name does not resolve."""
        if address and self.known.addresses[:1] != (address,):
            others = tuple(a for a in self.known.addresses if a != address)
            addresses = (address, *others)[:MAX_ADDRESSES]
            self._keep(KnownHub(public_key=self.known.public_key, addresses=addresses))

    def _read(self) -> KnownHub:
        if self._path is None:
            return KnownHub()
        try:
            row = json.loads(self._path.read_text(encoding="utf-8"))
            if row.get("url") != self._url:
                return KnownHub()
            addresses = tuple(str(a) for a in row.get("addresses") or () if _literal(str(a)))
            return KnownHub(public_key=str(row.get("public_key") or ""), addresses=addresses)
        except FileNotFoundError:
            return KnownHub()
        except (OSError, ValueError, AttributeError, TypeError) as exc:
            log.warning("%s cannot be read (%s); the hub is met anew", self._path, type(exc).__name__)
            return KnownHub()

    def _keep(self, known: KnownHub) -> None:
        self.known = known
        if self._path is None:
            return
        row = {"url": self._url, "public_key": known.public_key, "addresses": list(known.addresses)}
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(row), encoding="utf-8")
            draft.replace(self._path)
        except OSError as exc:
            log.warning("%s cannot be written (%s); it is remembered for this run only", self._path, exc.strerror)


def _literal(address: str) -> bool:
    """Whether it can be dialled without asking anybody; what is in a file may have been edited."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
