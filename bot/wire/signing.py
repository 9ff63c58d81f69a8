"""Ed25519 over the exact bytes that travel (RFC 8032)."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bot.domain.errors import FrameError


class Signer:
    """A private key. `public` is what the other side needs, base64."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed) if seed else Ed25519PrivateKey.generate()
        self.public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for keeping in a file."""
        return self._key.private_bytes_raw()

    def sign(self, data: bytes) -> str:
        """The signature, base64."""
        return base64.b64encode(self._key.sign(data)).decode()


class Verifier:
    """A public key. Raises FrameError when it is not one."""

    def __init__(self, public: str) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        except (ValueError, binascii.Error, TypeError) as exc:
            raise FrameError("public key is not 32 bytes of base64") from exc
        self.public = public

    def verify(self, data: bytes, signature: str) -> None:
        """Raises FrameError unless the signature fits."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, ValueError, binascii.Error, TypeError) as exc:
            raise FrameError("signature does not verify") from exc
