"""What both sides say after the handshake: frames sealed with HMAC-SHA256, numbered so that none counts twice.

Ed25519 costs a hub 145 us for each job and its result, which is more than the rest of a fan-out together; the
keys here come from an Ed25519-signed key agreement and prove the same to the two who hold them
(docs/design/006-agent-protocol-2.md).
"""

from __future__ import annotations

import base64
import hmac

from bot.domain.errors import FrameError
from bot.wire.codec import body_of, bounded, frame_of
from bot.wire.frames import MAX_FRAME, Frame

_DIGEST = "sha256"


class Session:
    """One connection's keys and counters. Sealed text reads "number mac body"."""

    def __init__(self, *, outbound: bytes, inbound: bytes) -> None:
        self._outbound = outbound
        self._inbound = inbound
        self._sent = 0
        self._heard = 0

    def seal(self, frame: Frame) -> str:
        """The frame as text that only the other side's key explains. Raises FrameError for one that cannot travel."""
        body = body_of(frame)
        number = self._sent + 1
        text = f"{number} {_mac(self._outbound, number, body)} {body}"
        bounded(text, type(frame).__name__.lower())
        self._sent = number
        return text

    def open(self, text: str) -> Frame:
        """The frame. Raises FrameError for one that was forged, changed, repeated or reordered."""
        if len(text) > MAX_FRAME:
            raise FrameError(f"frame of {len(text)} bytes; at most {MAX_FRAME} are read")
        spelled, _, rest = text.partition(" ")
        mac, _, body = rest.partition(" ")
        if not (spelled.isascii() and spelled.isdigit() and len(spelled) < 20 and mac.isascii()):
            raise FrameError("malformed frame: it is not sealed")
        number = int(spelled)
        try:
            fits = hmac.compare_digest(mac, _mac(self._inbound, number, body))
        except UnicodeEncodeError as exc:
            raise FrameError("malformed frame: it is not Unicode") from exc
        if not fits:
            raise FrameError("the seal does not verify")
        if number <= self._heard:
            raise FrameError(f"frame {number} was heard before")
        self._heard = number
        return frame_of(body)


def _mac(key: bytes, number: int, body: str) -> str:
    return base64.b64encode(hmac.digest(key, f"{number} {body}".encode(), _DIGEST)).decode()
