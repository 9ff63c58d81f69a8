"""Files: announced, brought to the address Slack names, shared under a message (the v2 upload)."""

from __future__ import annotations

from bot.adapters.slack.api import UPLOAD_S, Api
from bot.domain.errors import SendFailed

NAME_LENGTH = 200


async def upload(api: Api, name: str, content: bytes, *, channel: str, thread: str, title: str = "") -> str:
    """Bring a file into a channel, under `thread` if one is named; returns its id. Raises SendFailed.

    The three steps are docs.slack.dev: files.getUploadURLExternal, POST, files.completeUploadExternal.
    """
    content = content or b"\n"
    asked = await api.call(api.client.files_getUploadURLExternal, filename=name[:NAME_LENGTH], length=len(content))
    ident, url = str(asked.get("file_id", "")), str(asked.get("upload_url", ""))
    if not ident or not url.startswith(("https://", "http://")):
        raise SendFailed("files.getUploadURLExternal: no upload address in the answer")
    await api.post(url, data=content, most_s=UPLOAD_S)
    await api.call(
        api.client.files_completeUploadExternal,
        files=[{"id": ident, "title": title or name}],
        channel_id=channel,
        thread_ts=thread or None,
    )
    return ident
