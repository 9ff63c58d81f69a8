from __future__ import annotations

import pytest

from bot.probes.base import BadParams
from bot.probes.params import Place, Reader


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"address": "10.0.0.1"}, Place("10.0.0.1", "")),
        ({"host": "10.0.0.1"}, Place("10.0.0.1", "10.0.0.1")),
        ({"host": "sms.example.com"}, Place(None, "sms.example.com")),
        ({"host": "kubernetes"}, Place(None, "kubernetes")),
    ],
)
def test_a_place_is_an_address_or_a_name(params: dict[str, str], place: Place) -> None:
    assert Reader(params).place() == place


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"address": "10.0.0.1", "host": "a.example"},
        {"address": "a.example"},
        *({"host": h} for h in ("127.1", "0x7f.1", "0x7f000001", "017700000001", "2130706433", "a..b", "a b", "é.fr")),
        {"host": "a" * 64},
    ],
)
def test_what_is_neither_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(BadParams):
        Reader(params).place()
