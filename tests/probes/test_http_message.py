from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.probes.web.http_message import Whole, whole, written

OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"


def by_h11(data: bytes, method: str) -> Whole:
    """The same reply as h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "api.test"), ("connection", "close")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    return Whole(response.status_code, fields, body)


def test_a_plain_reply_is_read_at_once() -> None:
    assert whole(OK, "GET") == Whole(200, {"server": "x", "content-length": "5"}, b"hello")
    assert whole(OK[:-5], "HEAD") == Whole(200, {"server": "x", "content-length": "5"}, b"")
    assert whole(b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", "GET") == Whole(204, {"server": "x"}, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK[:20],
        OK[:-1],
        OK.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"),
        OK.replace(b"Content-Length: 5", b"Content-Length: +5"),
        OK.replace(b"Content-Length: 5", b"Content-Length: 5, 5"),
        OK.replace(b"Content-Length: 5", b"Content-Length : 5"),
        OK.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        OK.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        OK.replace(b"Server: x", b"Server: x\r\n folded"),
        OK.replace(b"Server: x", b"Server: \x00"),
        OK.replace(b"Content-Length: 5", b"X: y"),
        OK.replace(b"1.1", b"1.0"),
        OK.replace(b"200 OK", b"100 Continue"),
        OK.replace(b"200 OK", b"2000 OK"),
        OK.replace(b"\r\n", b"\n"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
def test_what_is_not_plain_is_left_to_h11(data: bytes) -> None:
    assert whole(data, "GET") is None


names = st.sampled_from(["Server", "X-Empty", "Set-Cookie", "connection", "Date", "Content-Type", "Upgrade", "A"])
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)


@given(
    status=st.integers(100, 699),
    fields=st.lists(st.tuples(names, values), max_size=6),
    body=st.binary(max_size=30),
    more=st.binary(max_size=5),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_what_is_read_at_once_is_what_h11_reads(
    status: int, fields: list[tuple[str, str]], body: bytes, more: bytes, method: str
) -> None:
    lines = [f"HTTP/1.1 {status} words", *(f"{name}: {value}" for name, value in fields)]
    data = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body + more
    seen = whole(data, method)
    if seen is not None:
        assert seen == by_h11(data, method)


def test_a_request_is_written_as_h11_writes_it() -> None:
    headers = [("host", "api.test"), ("connection", "close"), ("content-length", "4")]
    connection = h11.Connection(h11.CLIENT)
    wire = connection.send(h11.Request(method="POST", target="/a?b=c", headers=headers)) or b""
    wire += connection.send(h11.Data(data=b"body")) or b""
    assert written("POST", "/a?b=c", headers, b"body") == wire


@pytest.mark.parametrize(
    ("target", "value"), [("/a b", "x"), ("/a\r\nHost: b", "x"), ("/", "x\r\nEvil: 1"), ("/", "x\n"), ("/", "é")]
)
def test_nothing_gets_out_of_its_line(target: str, value: str) -> None:
    with pytest.raises(ValueError, match="HTTP does not allow"):
        written("GET", target, [("host", "api.test"), ("x", value)], b"")
