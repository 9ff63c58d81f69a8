"""`from PLACE`: who is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.diagnosis.places import MANY, choose
from bot.domain.errors import UserError
from bot.domain.probe import Agent
from tests.diagnosis import nights

EVERYBODY = ["east-pod", "east-vm", "east-vm2", "west-vm", "office"]


@pytest.mark.parametrize(
    ("where", "who"),
    [
        ("", EVERYBODY),
        ("all", EVERYBODY),
        ("east", ["east-pod", "east-vm", "east-vm2"]),
        ("East", ["east-pod", "east-vm", "east-vm2"]),
        ("east vm", ["east-vm"]),
        ("vm east", ["east-vm"]),
        ("vm", ["east-vm", "west-vm"]),
        ("east west", ["east-pod", "east-vm", "east-vm2", "west-vm"]),
        ("east pod vm", ["east-pod", "east-vm"]),
        ("east vm, office", ["east-vm", "office"]),
        ("east vm，office", ["east-vm", "office"]),
        ("west-vm,office", ["west-vm", "office"]),
        ("blue", ["east-pod", "east-vm"]),
        ("k1", ["east-pod"]),
        ("prod east vm2", ["east-vm2"]),
        ("all vm", ["east-vm", "west-vm"]),
    ],
)
def test_words_narrow_and_commas_widen(where: str, who: list[str]) -> None:
    assert [a.name for a in choose(where, nights.agents()).agents] == who


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [
        ("eats", "unknown_place", 'did you mean "east"? /agents lists them; regions are: east, office, west'),
        ("east vmm", "unknown_place", 'place "vmm" not found; did you mean "vm"?'),
        ("west pod", "no_such_place", 'no agent is all of "west pod"'),
        (",", "no_agents", 'no agent is connected at ","'),
    ],
)
def test_a_place_nobody_is_at_is_said_with_the_next_step(where: str, code: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        choose(where, nights.agents())
    assert caught.value.code == code
    assert says in caught.value.text.en


def test_silent_agents_of_the_place_belong_to_it_but_alone_they_cannot_answer() -> None:
    chosen = choose("east", nights.lost("east-vm"))
    assert [(a.name, a.state) for a in chosen.agents][:2] == [("east-pod", "ready"), ("east-vm", "lost")]
    with pytest.raises(UserError, match="no agent is connected at"):
        choose("east vm", nights.lost("east-vm"))


def test_a_crowd_is_sampled_unless_it_is_named() -> None:
    crowd = [*nights.agents(), *(pod(n) for n in range(MANY))]
    chosen = choose("", crowd)
    assert [a.name for a in chosen.agents] == [*EVERYBODY, "pod-1"]
    assert chosen.left_out == MANY - 1
    assert len(choose("all", crowd).agents) == len(crowd)
    assert len(choose("north", crowd).agents) == MANY


def pod(number: int) -> Agent:
    one = Agent(name=f"pod-{number}", region="north", vantage="pod", vpc="grey", cluster="k9", env="prod")
    return one if number else replace(one, state="lost")
