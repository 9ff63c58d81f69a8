from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.change import BadChange, Change, ChangeKind, from_json, newest

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ROW = {
    "at": "2026-11-24T10:58:00+08:00",
    "kind": "deploy",
    "title": " sms-gateway 1.4.2 ",
    "who": "li",
    "env": "prod",
    "service": "sms",
    "url": "https://ci.example/7",
}


def test_a_change_is_read_as_the_design_has_it_and_its_time_is_utc() -> None:
    change = from_json(ROW, source="ci", now=NOW)
    assert change.to_json() == {**ROW, "at": "2026-11-24T02:58:00+00:00", "title": "sms-gateway 1.4.2", "source": "ci"}


def test_only_a_title_is_needed() -> None:
    change = from_json({"title": "x"}, source="ci", now=NOW)
    assert change == Change(at=NOW, kind=ChangeKind.OTHER, title="x", source="ci")
    assert from_json({"title": "x", "at": NOW.timestamp()}, source="ci", now=NOW).at == NOW


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"title": ""}, "title"),
        ({"title": 7}, "title"),
        ({"kind": "party"}, "kind"),
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-11-24T10:58:00"}, "offset"),
        ({"at": 1e300}, "at"),
        ({"at": [1]}, "at"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"who": {}}, "who"),
    ],
)
def test_what_is_no_change_is_refused_by_field(more: dict[str, Any], names: str) -> None:
    with pytest.raises(BadChange, match=names):
        from_json({**ROW, **more}, source="ci", now=NOW)


def test_texts_are_cut_and_made_legible() -> None:
    change = from_json({"title": "a\x1b[31m" + "b" * 900}, source="ci", now=NOW)
    assert (len(change.title), "\x1b" in change.title) == (300, False)


def test_a_list_is_newest_first_and_bounded() -> None:
    many = [from_json({"title": f"t{i}", "at": i}, source="ci", now=NOW) for i in range(150)]
    found = newest(many)
    assert (len(found), found[0].at - found[-1].at) == (100, timedelta(seconds=99))
