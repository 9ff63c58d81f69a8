"""Links that acknowledge: any name survives the way through a URL."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from bot.adapters.web import Links


@pytest.mark.parametrize("who", ["lin", "林工", "on call", "ops/dba", "a?b#c%20"])
def test_a_link_is_plain_ascii_and_leads_back_to_its_page_whatever_the_persons_name(who: str) -> None:
    links, key = Links(secret=b"s", base_url="https://w.example"), f"INC-1:1:{who}:1"
    url = links.make(key)
    assert url.isascii()
    parts = urlsplit(url)
    assert not parts.query + parts.fragment
    _, ack, signature, quoted = parts.path.split("/")
    assert ack == "ack"
    assert links.fits(signature, unquote(quoted))
