from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from bot.probes.web.feeds import NoFeed, moment, read

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>Service health</title>
<item><title>Service degradation: <![CDATA[短信 <b>latency</b>]]></title><link>https://status.example/1</link>
<pubDate>Tue, 24 Nov 2026 03:04:05 +0800</pubDate><description>&lt;p&gt;We &amp;amp; they look.&lt;/p&gt;</description>
<enclosure><title>not this one</title></enclosure></item>
<item><title>Two</title><dc:date>2026-11-24T00:00:00Z</dc:date></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Status</title>
<entry><title>One</title><published>2026-11-24T01:00:00Z</published><updated>2026-11-24T02:00:00Z</updated>
<link rel="self" href="https://status.example/self"/><link rel="alternate" href="https://status.example/a"/>
<content type="html">&lt;strong&gt;Resolved&lt;/strong&gt;</content></entry></feed>"""


def test_rss_is_read() -> None:
    one, two = read(RSS.encode())
    assert (one.title, one.url) == ("Service degradation: 短信 latency", "https://status.example/1")
    assert (one.at, one.text) == (datetime(2026, 11, 23, 19, 4, 5, tzinfo=UTC), "We &amp; they look.")
    assert (two.title, two.url, two.at) == ("Two", "", datetime(2026, 11, 24, tzinfo=UTC))


def test_atom_is_read() -> None:
    (one,) = read(ATOM.encode())
    assert (one.title, one.url, one.text) == ("One", "https://status.example/a", "Resolved")
    assert one.at == datetime(2026, 11, 24, 1, tzinfo=UTC)


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE rss [<!ENTITY l0 "ha">{LAUGHS}]><rss><channel><item><title>&l9;</title></item></channel></rss>',
        '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><channel><item><title>&x;</title></item></channel></rss>',
        '<!DOCTYPE rss SYSTEM "http://127.0.0.1:9/evil.dtd"><rss/>',
        "<!DOCTYPE html><html></html>",
        "<html></html>",
        "<rss><channel>",
        "<rss>&undeclared;</rss>",
        '<?xml version="1.0" encoding="klingon"?><rss/>',
        "<rss>" + "<a>" * 5000 + "</a>" * 5000 + "</rss>",
        "",
        "\x00\x01",
    ],
)
def test_what_is_no_feed_or_a_trick_is_refused_at_once(document: str) -> None:
    began = time.process_time()
    with pytest.raises(NoFeed):
        read(document.encode())
    assert time.process_time() - began < 1


def test_a_feed_is_bounded() -> None:
    items = f"<item><title>{'x' * 9000}</title></item>" * 300
    found = read(f"<rss><channel>{items}</channel></rss>".encode())
    assert (len(found), len(found[0].title)) == (200, 200)


@pytest.mark.parametrize("text", ["", "soon", "2026-99-99", "Tue, 99 Nov 2026", "(" * 60])
def test_what_is_no_time_is_none(text: str) -> None:
    assert moment(text) is None
