"""The file a health check looks at is fresh in a session, gone without one."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from bot.agent.pulse import Pulse, pulse_file
from tests.wire.peers import until


async def test_the_file_is_touched_in_a_session_and_gone_when_the_last_one_ends(tmp_path: Path) -> None:
    file = pulse_file(tmp_path, "sh/vm")
    file.touch()
    pulse = Pulse(file, every_s=0.01)
    beating = asyncio.create_task(pulse.run())
    await until(lambda: not file.exists(), 30)
    pulse.begin()
    await until(file.exists, 30)
    pulse.begin()
    pulse.end()
    file.unlink()
    await until(file.exists, 30)
    pulse.end()
    assert not file.exists()
    await asyncio.sleep(0.05)
    assert not file.exists()
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


async def test_a_folder_that_cannot_be_written_is_no_trouble_but_for_the_check(tmp_path: Path) -> None:
    pulse = Pulse(pulse_file(tmp_path / "missing", "a"))
    pulse.begin()
    await asyncio.wait_for(pulse.run(), 30)
