"""What to do when the handshake with the bot fails is said beside why it failed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bot.agent.hub_tls import tls_hint, trusted
from bot.domain.errors import ConfigError
from bot.lab.pki import Authority
from bot.remote import Remote, RemoteError

HOST = "127.0.0.1"


class Nobody(BaseHTTPRequestHandler):
    """Answers [] to everybody."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def web(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A web server, with TLS or without; its port."""
    server = ThreadingHTTPServer((HOST, 0), Nobody)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def own(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS by an authority that nobody knows, and that authority's file."""
    authority = Authority()
    leaf = authority.issue([HOST])
    (folder / "leaf.pem").write_bytes(leaf.certificate + leaf.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "leaf.pem")
    return tls, folder / "ca.pem"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARROOM_API_TOKEN", "an-api-token")


def test_plain_http_behind_https_is_told_to_be_written_so() -> None:
    with web() as port, pytest.raises(RemoteError, match=f"there is no TLS at this port; write http://{HOST}:{port}"):
        Remote(f"https://{HOST}:{port}").get("/api/v1/agents")


def test_a_private_ca_is_named_by_the_variable_that_the_agent_has_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, ca = own(tmp_path)
    with web(tls) as port:
        with pytest.raises(RemoteError, match="name its file in WARROOM_HUB_CA_FILE"):
            Remote(f"https://{HOST}:{port}").get("/api/v1/agents")
        monkeypatch.setenv("WARROOM_HUB_CA_FILE", str(ca))
        assert Remote(f"https://{HOST}:{port}").get("/api/v1/agents") == []


async def test_the_agents_own_errors_get_the_same_hints() -> None:
    with web() as port:
        with pytest.raises(OSError) as caught:
            await asyncio.open_connection(HOST, port, ssl=ssl.create_default_context())
        assert tls_hint(caught.value, f"wss://{HOST}:{port}/agents/connect").endswith(f"write ws://{HOST}:{port}")
        assert tls_hint(caught.value, f"ws://{HOST}:{port}") == ""
    assert tls_hint(OSError("Connection refused"), "wss://bot") == ""


def test_a_file_that_holds_no_certificate_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match=r"WARROOM_HUB_CA_FILE .*empty\.pem"):
        trusted({"WARROOM_HUB_CA_FILE": str(tmp_path / "empty.pem")})
