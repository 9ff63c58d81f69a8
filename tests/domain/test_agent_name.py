from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.keys import file_name
from bot.domain.agent_name import LONGEST, clean, fault_of
from bot.wire.nats import Subjects


@pytest.mark.parametrize("name", ["sh-vm-1", "tke-prod-10.0.0.5", "SH_vm", "7", "node.corp.example", "n" * LONGEST])
def test_host_names_node_names_and_the_like_are_good_names(name: str) -> None:
    assert fault_of(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "an agent needs a name"),
        ("n" * (LONGEST + 1), "81 characters is too long; at most 80"),
        *(
            (bad, "use letters a-z, digits")
            for bad in ("a b", "a,b", "上海-vm", "-v", ".a", "a/b", "a*", "a>", "a\n", "а")
        ),
    ],
)
def test_what_no_agent_may_be_called_is_said_with_what_it_may_be_called(name: str, reason: str) -> None:
    said = fault_of(name)
    assert said is not None
    assert reason in said.en
    assert said.zh != said.en


def test_blanks_around_a_name_are_no_part_of_it() -> None:
    assert clean(" sh-vm\n") == "sh-vm"


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", fullmatch=True))
def test_a_good_name_is_a_file_name_and_one_word_of_a_subject(name: str) -> None:
    assert fault_of(name) is None
    assert file_name(name) == name
    assert Subjects("w").agent(name, "k") == f"w.agent.{name.replace('.', '_')}.k"
