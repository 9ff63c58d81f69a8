"""Schemathesis against a bot: whatever is sent to the API, the answer is one its description names, and never a 500."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.adapters.test_web import TOKEN, a_bot

EXAMPLES = 12
"""For each call and phase, drawn by Hypothesis from a fixed seed."""
LEFT_OUT = "positive_data_acceptance"
"""That what the schema allows is never refused with 400: no schema says what the YAML of a playbook may mean."""


@pytest.mark.timeout(400)
async def test_no_call_answers_otherwise_than_its_description_says(tmp_path: Path) -> None:
    async with a_bot(tmp_path) as up:
        # An incident with a page, so that there is something behind the paths.
        await up.types("/page lin")
        url = f"{up.bot.config.url}/api/v1/openapi.json"
        words = ("-m", "schemathesis.cli", "run", url, "--header", f"Authorization: Bearer {TOKEN}", "--seed", "7")
        more = ("--max-examples", str(EXAMPLES), "--exclude-checks", LEFT_OUT, "--no-color", "--continue-on-failure")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            *more,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
