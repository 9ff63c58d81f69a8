"""The chain of the record: what can be done to it, and how each shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.domain.chain import BEGINNING, Break, ChainHead, Content, Kept, check, hash_of

AT = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)


def content(words: str) -> Content:
    return Content(
        kind="note",
        at=AT,
        recorded_at=AT,
        actor="lin",
        room="console:main",
        incident="INC-1",
        run=None,
        zh=words,
        en=words,
        data="{}",
    )


def chain(count: int = 5) -> tuple[ChainHead, list[Kept]]:
    previous, kept = BEGINNING, []
    for link in range(1, count + 1):
        said = content(f"line {link}")
        previous = hash_of(previous, "INC-1", link, said)
        kept.append(Kept(seq=link + 100, chain="INC-1", link=link, hash=previous, content=said))
    return ChainHead(name="INC-1", length=count, hash=previous), kept


def broken(head: ChainHead, kept: list[Kept]) -> list[tuple[Break, int]]:
    return [(fault.kind, fault.link) for fault in check(head, kept)]


def test_a_chain_as_it_was_written_has_no_fault() -> None:
    assert broken(*chain()) == []
    assert broken(*chain(0)) == []


def test_an_edited_entry_is_named() -> None:
    head, kept = chain()
    kept[2] = replace(kept[2], content=content("nothing happened"))
    assert broken(head, kept) == [(Break.EDITED, 3)]
    (fault,) = check(head, kept)
    assert fault.text.en == "INC-1 #3 (seq 103) was edited, or does not follow the one before it"


def test_an_edited_entry_with_a_new_hash_does_not_go_with_the_next() -> None:
    head, kept = chain()
    said = content("nothing happened")
    kept[2] = replace(kept[2], content=said, hash=hash_of(kept[1].hash, "INC-1", 3, said))
    assert broken(head, kept) == [(Break.EDITED, 4)]


def test_a_removed_entry_is_named_and_the_others_are_not_blamed() -> None:
    head, kept = chain()
    assert broken(head, [*kept[:1], *kept[3:]]) == [(Break.REMOVED, 2), (Break.REMOVED, 3)]
    assert broken(head, kept[1:]) == [(Break.REMOVED, 1)]


def test_a_cut_tail_is_named() -> None:
    head, kept = chain()
    assert broken(head, kept[:3]) == [(Break.CUT, 3)]
    assert broken(head, []) == [(Break.CUT, 0)]


def test_two_that_changed_places_are_named() -> None:
    head, kept = chain()
    kept[1], kept[2] = replace(kept[1], content=kept[2].content), replace(kept[2], content=kept[1].content)
    assert broken(head, kept) == [(Break.EDITED, 2), (Break.EDITED, 3)]


def test_an_entry_put_at_the_end_without_the_head_is_named() -> None:
    head, kept = chain()
    shorter = replace(head, length=4, hash=kept[3].hash)
    assert broken(shorter, kept) == [(Break.EDITED, 5)]


@pytest.mark.parametrize("field", ["kind", "actor", "room", "incident", "run", "zh", "en", "data"])
def test_every_field_counts(field: str) -> None:
    said = content("x")
    assert hash_of(BEGINNING, "INC-1", 1, replace(said, **{field: "other"})) != hash_of(BEGINNING, "INC-1", 1, said)


def test_no_two_contents_read_the_same_and_a_moment_is_one_in_any_zone() -> None:
    said = content("x")
    moved = replace(said, zh="ab", en="c"), replace(said, zh="a", en="bc")
    assert len({hash_of(BEGINNING, "INC-1", 1, one) for one in moved}) == 2
    later = replace(said, at=AT + timedelta(microseconds=1))
    assert hash_of(BEGINNING, "INC-1", 1, later) != hash_of(BEGINNING, "INC-1", 1, said)
    there = replace(said, at=AT.astimezone(timezone(timedelta(hours=8))))
    assert hash_of(BEGINNING, "INC-1", 1, there) == hash_of(BEGINNING, "INC-1", 1, said)
    assert hash_of(BEGINNING, "INC-2", 1, said) != hash_of(BEGINNING, "INC-1", 1, said)
