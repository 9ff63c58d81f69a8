"""What the hub refuses before it sends: by the agent's own reading of parameters, without touching anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.adapters.playbooks import load_playbooks
from bot.diagnosis import plan
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, Outcome, ProbeRequest, observe
from bot.probes.base import BadParams
from bot.probes.table import KINDS, check
from tests.diagnosis.nights import AT, FOLDER, agents
from tests.security.corpus import CASES
from tests.security.shapes import shapes
from tests.security.watching import watched

EVERY_STEP = """
playbook: every_step
title: {zh: 全部, en: everything}
vendor: tencent
targets:
  web: https://web.example:8443
  page: http://pages.example/path?x=1
  fixed: http://192.0.2.7
  bucket: https://b-1250000000.cos.ap-shanghai.myqcloud.com
controls: [https://www.example.org, http://192.0.2.9]
internal: [kubernetes.default.svc.cluster.local]
resolvers: {vpc: [183.60.83.19, 183.60.82.98], public: [119.29.29.29]}
probe:
  - dns: {of: [web, fixed], via: [host, vpc, public], tries: 40, within: 8s}
  - http: {to: [web, fixed, page], also: pinned, expect_status: [200, 204], method: HEAD, path: /healthz, tries: 3}
  - tcp: {to: [web, fixed], ports: [80, 8443], tries: 2}
  - ping: {to: [web, fixed], tries: 3, method: tcp}
  - api: {to: web, service: sms, action: DescribeX, version: "2021-01-11", region: ap-guangzhou, signed: [no, yes]}
  - object_store: {to: bucket, vendor: cos, tries: 2}
then:
  - dns_top: {seconds: 5}
"""


def playbooks(folder: Path) -> list[Playbook]:
    """Those that are shipped, and one that uses every step there is."""
    (folder / "every_step.yaml").write_text(EVERY_STEP)
    (folder / "hypotheses").mkdir()
    return [*load_playbooks(FOLDER).values(), *load_playbooks(folder).values()]


def requests(playbook: Playbook, who: tuple[Agent, ...]) -> Iterator[ProbeRequest]:
    """Everything the planner may ask in a run: the sweep, its light form, pinned probes, and what follows."""
    names = [*(t.host for t in playbook.targets.values()), *(c.host for c in playbook.controls)]
    for light in (False, True):
        first = plan.sweep(playbook, who, light=light)
        yield from first.now
        told = [
            observe(
                ProbeRequest(id="x", probe="dns/x", kind="dns", layer="dns_public", target=name, agent=one.name),
                one,
                Outcome(ok=True, detail={"answers": ["192.0.2.1", "2001:db8::1"]}),
                at=AT,
                took_ms=1.0,
            )
            for name in names
            for one in who
        ]
        pinned, waiting = plan.pin(first.pinned, told, elapsed_s=10)
        assert pinned
        assert not waiting
        yield from pinned
    for kind in KINDS:
        yield from plan.follow_up(kind, playbook, who, frozenset(a.name for a in who), told)


def test_the_hub_passes_everything_that_the_planner_asks(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    for playbook in playbooks(tmp_path):
        for who in (agents(), agents()[:1], agents()[-1:]):
            for request in requests(playbook, who):
                check(request.kind, request.params)
                asked[request.kind] += 1
    assert set(asked) == {"dns", "http", "tcp", "ping", "api", "object_store", "dns_top"}


def attempts() -> Iterator[tuple[str, dict[str, object]]]:
    """Every kind with good parameters, with hostile ones, and with nonsense."""
    known = shapes()
    for shape in known:
        yield shape.kind, dict(shape.params)
        for case in CASES:
            if case.slot == shape.slot:
                yield shape.kind, shape.aimed(case.value)
    for kind in (*KINDS, "shell", "", "dns\n"):
        for params in ({}, {"name": "../../etc/passwd"}, {"path": "/etc/passwd"}, {"source": "query_log"}, {"x": [[]]}):
            yield kind, params


def test_reading_parameters_touches_no_file_no_socket_and_no_process() -> None:
    every = list(attempts())
    for kind, params in every:  # so that what is imported late has been
        _refused(kind, params)
    with watched() as touched:
        answers = [_refused(kind, params) for kind, params in every]
    assert touched == []
    assert any(answers)
    assert not all(answers)


def test_the_watch_itself_sees_a_file_being_opened() -> None:
    with watched() as touched:
        Path(__file__).read_bytes()
    assert any(event == "open" for event, _ in touched)


@pytest.mark.parametrize("kind", list(KINDS))
def test_reading_parameters_is_quick_however_large_they_are(kind: str) -> None:
    import time

    deep: object = 1
    for _ in range(900):
        deep = [deep]
    large = {
        "payload": {"a": deep},
        "name": "a." * 120_000,
        "url": "http://" + "a." * 100_000,
        "server": ["1"] * 100_000,
    }
    for name in ("address", "host", "url", "name", "server", "payload", "tries", "query"):
        began = time.process_time()
        for value in (*large.values(), "9" * 4000, 10**400, "1" * 200_000, {"x" * 1000: "y" * 200_000}):
            _refused(kind, {name: value})
        assert time.process_time() - began < 0.5


def _refused(kind: str, params: dict[str, object]) -> bool:
    try:
        check(kind, params)
    except BadParams as exc:
        said = str(exc)
    else:
        return False
    assert 0 < len(said) < 2000
    return True
