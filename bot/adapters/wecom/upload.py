"""Files by way of the robot's connection, in chunks; its library has no call for it.

developer.work.weixin.qq.com/document/path/101463: 512 KB before base64 a chunk, 100 of them at most.
"""

from __future__ import annotations

import base64
import hashlib
import math

from bot.adapters.wecom.link import Link
from bot.domain.errors import SendFailed

CHUNK = 512 * 1024


async def upload(link: Link, name: str, content: bytes) -> str:
    """The media id, which lives three days. Raises SendFailed."""
    begun = await link.send(
        "aibot_upload_media_init",
        {
            "type": "file",
            "filename": name,
            "total_size": len(content),
            "total_chunks": math.ceil(len(content) / CHUNK),
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        },
    )
    ident = _field(begun, "upload_id")
    for index in range(math.ceil(len(content) / CHUNK)):
        part = base64.b64encode(content[index * CHUNK : (index + 1) * CHUNK]).decode()
        await link.send("aibot_upload_media_chunk", {"upload_id": ident, "chunk_index": index, "base64_data": part})
    return _field(await link.send("aibot_upload_media_finish", {"upload_id": ident}), "media_id")


def _field(frame: object, name: str) -> str:
    body = frame.get("body") if isinstance(frame, dict) else None
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, str) or not found:
        raise SendFailed(f"the upload's answer has no {name}")
    return found
