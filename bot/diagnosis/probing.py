"""One `/probe` as a state machine without I/O: who is asked, and what has come back.

The loop around it (`bot.app.probe`) only carries requests to the agents and observations back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from bot.diagnosis.adhoc import Adhoc
from bot.diagnosis.burst import batches, complete, servers
from bot.diagnosis.investigation import merge
from bot.diagnosis.places import Chosen
from bot.domain.errors import UserError
from bot.domain.failure import Failure
from bot.domain.probe import Agent, Json, Observation
from bot.domain.silence import silence
from bot.domain.text import Text

_STATES = {
    "lost": Text("没有连接", "not connected"),
    "starting": Text("还在自检", "still testing itself"),
    "draining": Text("正在退出", "shutting down"),
}
_GROUPS = {"@vpc": Text("VPC 解析器", "resolver of a VPC"), "@public": Text("公共解析器", "public resolver")}


class Probing:
    """What one `/probe` asks, and what came of it."""

    def __init__(
        self,
        asked: Adhoc,
        params: Mapping[str, Json],
        chosen: Chosen,
        *,
        known: Collection[str],
        resolvers: Mapping[str, Sequence[str]],
    ) -> None:
        """`known` are the parameters of the kind, `resolvers` serve agents that name none of a group ("vpc", "public").

        Raises UserError for what no agent can do or no resolver bears.
        """
        self.asked = asked
        self.agents = chosen.agents
        self.left_out = chosen.left_out
        self.not_asked: dict[str, Text] = {}
        """Agents for whom the question makes no sense, and why."""
        self._lost = {a.name: _STATES.get(a.state, _STATES["lost"]) for a in chosen.agents if a.state != "ready"}
        sent = {a.name: self._sent(a, params, resolvers) for a in chosen.agents if a.state == "ready"}
        able = [a for a in chosen.agents if a.state == "ready" and a.name not in self.not_asked]
        if not able:
            raise _nobody_can(self.not_asked)
        self.params = complete(asked.kind, params, able)
        self.batches = tuple(batches(asked, self.params, able, known, {n: s for n, s in sent.items() if s}))
        self._open = Counter(r.agent for batch in self.batches for r in batch.requests)
        self.total = len(self._open)
        self._seen: list[Observation] = []

    def take(self, seen: Observation) -> None:
        """Take one observation in."""
        self._seen.append(seen)
        self._open[seen.agent] -= 1

    def close(self) -> None:
        """Nothing more comes: who has not answered is missing."""
        self._lost.update(dict.fromkeys(self.pending, Text("没有应答", "no answer")))

    @property
    def done(self) -> int:
        """How many agents have nothing left to say."""
        return sum(1 for left in self._open.values() if left <= 0)

    @property
    def pending(self) -> frozenset[str]:
        """Agents that are still at it."""
        return frozenset(name for name, left in self._open.items() if left > 0)

    @property
    def arrived(self) -> int:
        """How many observations there are."""
        return len(self._seen)

    def observations(self) -> Sequence[Observation]:
        """One for each agent that was heard of, parts of a series of DNS tries put together."""
        heard = {o.agent for o in self._seen if o.failure is not Failure.AGENT_LOST}
        return merge([o for o in self._seen if o.failure is not Failure.AGENT_LOST or o.agent not in heard])

    def missing(self) -> dict[str, Text]:
        """{name: reason} of agents that should have answered and did not, or not to the end."""
        silent = {
            o.agent: _reason(str(o.detail.get("reason") or "no answer"))
            for o in self._seen
            if o.failure is Failure.AGENT_LOST
        }
        return {**self._lost, **silent}

    def _sent(self, agent: Agent, params: Mapping[str, Json], resolvers: Mapping[str, Sequence[str]]) -> Sequence[str]:
        """The resolvers this agent is told to ask. An agent that cannot do it is noted among those not asked."""
        kind = self.asked.kind
        if agent.kinds and kind not in agent.kinds:
            self.not_asked[agent.name] = Text(f"它的策略不许 {kind}", f"its policy permits no {kind}")
        if kind != "dns":
            return ()
        asked: list[str] = []
        for server in servers(params):
            group = server.removeprefix("@")
            if server not in _GROUPS or agent.resolvers.get(group):
                asked.append(server)
            elif resolvers.get(group) and (agent.vpc or group != "vpc"):
                asked += resolvers[group]
            else:
                what = _GROUPS[server]
                self.not_asked[agent.name] = Text(f"它没有{what.zh}", f"it knows no {what.en}")
        return asked


def _reason(said: str) -> Text:
    why = silence(said)
    return Text(f"没有应答（{why.zh}）", f"no answer ({why.en})")


def _nobody_can(not_asked: Mapping[str, Text]) -> UserError:
    said_en = "; ".join(f"{name}: {why.en}" for name, why in list(not_asked.items())[:5])
    said_zh = "；".join(f"{name}：{why.zh}" for name, why in list(not_asked.items())[:5])
    return UserError(
        "nobody_can",
        Text(
            f"没有观测点能测：{said_zh}。换个地点（from）",
            f"no agent can do this: {said_en}. Name another place with from",
        ),
    )
