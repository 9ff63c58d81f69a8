"""The least a WeCom command can cost: a callback that decrypts and parses by wechatpy and remembers nothing.

Prints its port.
"""

from __future__ import annotations

import asyncio
import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.enterprise.parser import parse_message


async def main() -> None:
    """Serve until killed."""
    crypto = WeChatCrypto(os.environ["TOKEN"], os.environ["AES_KEY"], os.environ["CORP_ID"])

    async def callback(request: Request) -> PlainTextResponse:
        query = request.query_params
        sealed = (await request.body()).decode()
        parse_message(crypto.decrypt_message(sealed, query["msg_signature"], query["timestamp"], query["nonce"]))
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/wecom/callback", callback, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
