"""SCRAM-SHA-256 without channel binding, the client's side (RFC 5802, RFC 7677), as PostgreSQL speaks it."""

from __future__ import annotations

import base64
import hashlib
import hmac

MECHANISM = "SCRAM-SHA-256"
MAX_ITERATIONS = 1_000_000
"""More is no server's setting but an attempt to keep us busy; PostgreSQL's default is 4096."""


class ScramError(Exception):
    """The server's part of the exchange is not what RFC 5802 says, or it does not know the password."""


class Scram:
    """One exchange: send `first`, then `final(server_first)`, then check `verify(server_final)`."""

    def __init__(self, password: str, nonce: str, *, user: str = "") -> None:
        self._password = _prepared(password).encode()
        self._nonce = nonce
        self._bare = f"n={user},r={nonce}"
        self._expected = b""

    def first(self) -> bytes:
        """PostgreSQL wants no user name here: it takes the one of the startup message."""
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Proves the password. Takes some milliseconds of computing, and up to a second. Raises ScramError."""
        text = server_first.decode("utf-8", "replace")
        fields = _fields(text)
        nonce, salt, rounds = fields.get("r", ""), fields.get("s", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the server's nonce does not continue ours")
        if not (rounds.isascii() and rounds.isdigit() and len(rounds) < 8 and 0 < int(rounds) <= MAX_ITERATIONS):
            raise ScramError("an iteration count that nobody uses")
        try:
            raw_salt = base64.b64decode(salt, validate=True)
        except ValueError as exc:
            raise ScramError("the salt is not base64") from exc
        salted = hashlib.pbkdf2_hmac("sha256", self._password, raw_salt, int(rounds))
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._bare},{text},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """The server knows the password too. Raises ScramError."""
        given = _fields(server_final.decode("utf-8", "replace")).get("v", "")
        if not hmac.compare_digest(given.encode(), base64.b64encode(self._expected)):
            raise ScramError("the server does not know the password")


def _fields(text: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in text.split(",") if part[1:2] == "="}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _prepared(password: str) -> str:
    """SASLprep (RFC 4013): odd spaces become spaces, invisible characters vanish, then NFKC."""
    if password.isascii():
        return password
    import stringprep
    import unicodedata

    kept = (" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    return unicodedata.normalize("NFKC", "".join(kept))
