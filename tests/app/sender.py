"""A bot that does nothing but deliver, as a process of its own: python -m tests.app.sender DATABASE_URL PHONE_URL."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

from bot.adapters.pagers.webhook import WebhookPager
from bot.adapters.store import SqlStore
from bot.app.deliver import Deliverer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def main(database_url: str, phone_url: str) -> None:
    pager = WebhookPager("phone", phone_url, SECRET)
    deliverer = Deliverer(SqlStore(database_url), {}, [pager], RealClock(), lease_s=1.0, poll_s=0.1)
    await deliverer.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
