"""WeCom's callback crypto, written from its document: the bot uses another implementation."""

from __future__ import annotations

import base64
import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def sign(token: str, *parts: str) -> str:
    return hashlib.sha1("".join(sorted([token, *parts])).encode()).hexdigest()


def encrypt(aes_key: str, plain: str, receiver: str) -> str:
    key = base64.b64decode(aes_key + "=")
    raw = os.urandom(16) + struct.pack(">I", len(plain.encode())) + plain.encode() + receiver.encode()
    pad = 32 - len(raw) % 32
    worker = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(worker.update(raw + bytes([pad]) * pad) + worker.finalize()).decode()


def decrypt(aes_key: str, text: str, receiver: str) -> str:
    key = base64.b64decode(aes_key + "=")
    worker = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    raw = worker.update(base64.b64decode(text)) + worker.finalize()
    raw = raw[16 : -raw[-1]]
    (length,) = struct.unpack(">I", raw[:4])
    assert raw[4 + length :].decode() == receiver
    return raw[4 : 4 + length].decode()
