"""Environments that fail together point at what they share."""

from __future__ import annotations

import pytest

from bot.app.before import together_line
from bot.diagnosis.cells import Cell
from bot.diagnosis.environments import environments
from bot.diagnosis.facts import Picture
from bot.domain.probe import Agent


def agent(name: str, env: str, *, vpc: str = "blue", cluster: str = "", resolver: str = "10.0.0.2") -> Agent:
    return Agent(
        name=name,
        region="east",
        vantage="vm",
        env=env,
        vpc=vpc,
        cluster=cluster,
        resolvers={"host": (resolver,), "public": ("9.9.9.9",)},
    )


def seen(agents: tuple[Agent, ...], red: dict[str, str], layer: str = "dns_vpc") -> Picture:
    """`red` names the layer that fails from each red agent."""
    cells = [
        Cell(
            agent=a.name,
            region=a.region,
            vantage=a.vantage,
            env=a.env,
            vpc=a.vpc,
            cluster=a.cluster,
            layer=red.get(a.name, layer),
            tries=2,
            ok=0 if a.name in red else 2,
        )
        for a in agents
    ]
    return Picture(agents=agents, parts=tuple(cells))


@pytest.mark.parametrize(
    ("agents", "red", "says"),
    [
        (
            (agent("a", "dev"), agent("b", "prod"), agent("c", "test", vpc="green", resolver="10.1.0.2")),
            {"a": "dns_vpc", "b": "api"},
            "dev, prod (test is fine) are red together: they share VPC blue, resolver 10.0.0.2",
        ),
        (
            (agent("a", "dev", cluster="k1"), agent("b", "prod", cluster="k1", resolver="10.0.0.3")),
            {"a": "dns_host", "b": "dns_host"},
            "dev, prod are red together: they share cluster k1, VPC blue",
        ),
        (
            (agent("a", "dev", vpc="blue"), agent("b", "prod", vpc="green", resolver="10.0.0.3")),
            {"a": "api_signed", "b": "api_signed"},
            "dev, prod are red together: they share region east, the vendor's key",
        ),
    ],
)
def test_what_is_shared_is_named(agents: tuple[Agent, ...], red: dict[str, str], says: str) -> None:
    together = environments(seen(agents, red))
    assert together is not None
    assert together_line(together).en == says
    assert "同时异常" in together_line(together).zh


def test_environments_that_share_nothing_are_told_so() -> None:
    far = Agent(name="b", region="west", vantage="vm", env="prod", vpc="red", resolvers={"host": ("10.9.0.2",)})
    together = environments(seen((agent("a", "dev"), far), {"a": "api", "b": "api"}))
    assert together is not None
    assert "share no cluster, VPC or resolver" in together_line(together).en


def test_one_red_environment_is_no_pattern() -> None:
    agents = (agent("a", "dev"), agent("b", "dev"), agent("c", "prod"))
    assert environments(seen(agents, {"a": "api", "b": "api"})) is None
    assert environments(seen(agents, {})) is None
