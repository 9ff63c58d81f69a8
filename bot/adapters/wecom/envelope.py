"""Callbacks of WeCom, opened and sealed: the one place where wechatpy's crypto and parser are used.

wechatpy compares signatures in a way that can be timed, checks no timestamp, and answers what is malformed with
KeyError, ValueError and worse; all of that is done or caught here.
Scheme: developer.work.weixin.qq.com/document/path/90968.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import xmltodict
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.enterprise.parser import parse_message

from bot.domain.errors import WarroomError

TOLERANCE_S = 300.0
MOST = 256 * 1024


class NotGenuine(WarroomError):
    """Forged, too old, for somebody else, or not readable: `status` is what its sender is answered."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Envelope:
    """Callbacks of one application (`receiver` is the company's id) or robot ("")."""

    def __init__(self, token: str, aes_key: str, receiver: str) -> None:
        self._token = token
        self._crypto = WeChatCrypto(token, aes_key, receiver)

    def open(self, query: Mapping[str, str], encrypted: str, *, now: float) -> str:
        """What is inside. `query` has msg_signature, timestamp and nonce; `now` is epoch seconds. Raises NotGenuine."""
        signature, stamp, nonce = (query.get(name, "") for name in ("msg_signature", "timestamp", "nonce"))
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or len(nonce) > 256:
            raise NotGenuine("timestamp or nonce is missing or malformed")
        wanted = self._sign(stamp, nonce, encrypted)
        if not hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")):
            raise NotGenuine("the signature does not fit", status=403)
        if abs(now - int(stamp)) > TOLERANCE_S:
            raise NotGenuine(f"the timestamp is {abs(now - int(stamp)):.0f} s away from our clock", status=403)
        try:
            return str(self._crypto.decrypt_message({"Encrypt": encrypted}, wanted, stamp, nonce))
        except Exception as exc:  # wechatpy has no error of its own for most of what can be wrong inside
            raise NotGenuine(f"it cannot be decrypted: {type(exc).__name__}") from exc

    def seal(self, plain: str, *, stamp: str, nonce: str) -> dict[str, Any]:
        """The answer to a robot's callback, as JSON."""
        xml = self._crypto.encrypt_message(plain, nonce, stamp)
        encrypted = str(xmltodict.parse(xml)["xml"]["Encrypt"])
        return {
            "encrypt": encrypted,
            "msgsignature": self._sign(stamp, nonce, encrypted),
            "timestamp": int(stamp),
            "nonce": nonce,
        }

    def challenge(self, echo: str, *, stamp: str, nonce: str) -> dict[str, str]:
        """The query by which WeCom proves an address; its answer must be `echo`."""
        sealed = self.seal(echo, stamp=stamp, nonce=nonce)
        signed = {"msg_signature": str(sealed["msgsignature"]), "timestamp": stamp, "nonce": nonce}
        return {**signed, "echostr": str(sealed["encrypt"])}

    def _sign(self, stamp: str, nonce: str, encrypted: str) -> str:
        parts = sorted(part.encode(errors="replace") for part in (self._token, stamp, nonce, encrypted))
        return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()


def encrypted_in(xml: bytes) -> str:
    """What an application's callback carries. Raises NotGenuine."""
    found = _xml(xml).get("Encrypt")
    if not isinstance(found, str) or not found:
        raise NotGenuine("the body has no Encrypt")
    return found


def fields_of(xml: str) -> Mapping[str, Any]:
    """The fields of a decrypted message. Raises NotGenuine.

    wechatpy has classes for few of the events; their fields are the same as in the XML.
    """
    _xml(xml.encode())
    try:
        message = parse_message(xml)
    except Exception as exc:
        raise NotGenuine(f"the message cannot be read: {type(exc).__name__}") from exc
    fields = getattr(message, "_data", None)
    if not isinstance(fields, Mapping):
        raise NotGenuine("the message has no fields")
    return fields


def _xml(raw: bytes) -> Mapping[str, Any]:
    """One flat table; entities are refused by xmltodict (1.0 and later), so nothing expands and nothing is fetched."""
    if len(raw) > MOST:
        raise NotGenuine(f"more than {MOST} bytes", status=413)
    try:
        row = xmltodict.parse(raw)["xml"]
    except Exception as exc:  # expat, encodings, entities, a missing root
        raise NotGenuine(f"no XML of WeCom's: {type(exc).__name__}") from exc
    if not isinstance(row, Mapping):
        raise NotGenuine("an empty message")
    return row
