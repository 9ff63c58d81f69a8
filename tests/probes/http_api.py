"""What the servers of the API tests share: a request read the way a server reads it, and JSON answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.probes.servers import Answer, http

TOKEN = "canary-token-7Qx9"


@dataclass(frozen=True)
class Asked:
    """A request; header names in lower case, `query` has the first value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def basic(self) -> str:
        """The user and password of Basic authentication."""
        return base64.b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode()


def asked(request: bytes) -> Asked:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    method, target, _ = line.split(" ")
    parts = urlsplit(target)
    headers = {k.lower(): v for k, v in (re.split(r": ?", f, maxsplit=1) for f in fields)}
    return Asked(method, parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}, headers, body)


def served(answer: Callable[[Asked], bytes]) -> Answer:
    """A server of `answer` behind a bearer token."""

    def guarded(request: bytes) -> bytes:
        one = asked(request)
        shown = one.headers.get("authorization", "")
        if shown != f"Bearer {TOKEN}":
            return said({"status": "error", "error": f"who is {shown}?", "message": f"who is {shown}?"}, "401 No")
        return answer(one)

    return guarded


def said(document: Any, status: str = "200 OK") -> bytes:
    return http(status, json.dumps(document).encode(), "Content-Type: application/json")


def login(kind: str, port: int, *, user: str = "", host: str = "api.test", name: str = "mine") -> str:
    """A login of the policy file; the secret comes from the variable the tests set."""
    who = f", user: {user}" if user else ""
    return f'logins: {{{name}: {{kind: {kind}, for: "https://{host}:{port}", secret_env: WARROOM_TEST_LOGIN{who}}}}}\n'
