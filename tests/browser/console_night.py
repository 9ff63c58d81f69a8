"""The night of the story as a console backend keeps it: rooms, messages, an incident, a timeline, agents, a lab."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.adapters.console.pages import Look
from bot.adapters.console.platform import ConsolePlatform
from bot.adapters.console.render import Renderer
from bot.adapters.console.routes import routes
from bot.adapters.console.sessions import Sessions
from bot.adapters.playbooks import load_playbooks
from bot.app.figures import Figures, figures
from bot.app.postmortem.course import courses
from bot.app.postmortem.evidence import Evidence
from bot.app.postmortem.model import Called, Cause, Considered, Snapshot
from bot.app.record_filter import read_filter
from bot.app.resources import data_folder
from bot.app.timeline import Answer
from bot.domain import night as domain
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.incident import EVERYTHING, Entry, EntryKind, Incident, IncidentState, Room, Search
from bot.domain.message import (
    Bullets,
    Button,
    Buttons,
    Code,
    Header,
    Matrix,
    MatrixCell,
    Message,
    Paragraph,
    Progress,
    Ranking,
    Share,
    Table,
)
from bot.domain.page import CallMade, CallState
from bot.domain.patrol import Round, Sample
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent
from bot.domain.record import Excerpt, corrections
from bot.domain.text import Lang, Text, same

ONSET = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
ROOM = "console:sms-night"
ZONE = ZoneInfo("Asia/Shanghai")
QUIET_ROOM = "console:quiet"
TOKEN = "a token of the tests"

COLUMNS = (same("pod"), same("vm"), same("vm2"), same("vm"), Text("办公", "office"))
GROUPS = ((Text("上海", "Shanghai"), 3), (Text("广州", "Guangzhou"), 1), (Text("外部", "outside"), 1))
CULPRIT = Text(
    "DNS 第一大户：10.3.7.21（crawler-load）2,140 次/秒，占 96%，22:31 起",
    "Top DNS client: 10.3.7.21 (crawler-load) 2,140 q/s, 96% of all, since 22:31",
)


def up(text: str = "", *, ms: str = "31 ms") -> MatrixCell:
    return MatrixCell(state="up", text=text, hint=Text(f"20/20 成功，中位 {ms}", f"20 of 20 worked, median {ms}"))


def lossy(share: int, tries: int = 40) -> MatrixCell:
    ok = round(share * tries / 100)
    hint = Text(f"{ok}/{tries} 成功，其余超时", f"{ok} of {tries} worked, the others timed out")
    return MatrixCell(state="lossy", text=f"{share}%", hint=hint)


DOWN = MatrixCell(state="down", hint=Text("20 次全部超时", "20 tries, all timed out"))
NONE = MatrixCell(state="none", hint=Text("办公网不在 VPC 里", "the office is not in the VPC"))
PENDING = MatrixCell(state="pending")
MISSING = MatrixCell(state="missing", hint=Text("广州 vm：40 秒没有回应", "guangzhou vm: silent for 40 s"))
DENIED = MatrixCell(state="denied", hint=Text("观测点策略不许 ping", "the agent's policy forbids ping"))


def matrix() -> Matrix:
    return Matrix(
        columns=COLUMNS,
        groups=GROUPS,
        rows=(
            (Text("DNS·VPC", "DNS · VPC"), (lossy(11), lossy(13), up(), up(), NONE)),
            (Text("DNS·VPC(TCP)", "DNS · VPC over TCP"), (up(), up(), up(), MISSING, NONE)),
            (Text("DNS·公共", "DNS · public"), (up(), up(), up(), up(), up())),
            (same("ping"), (DENIED, up(), up(), up(), up())),
            (same("TCP"), (up("*"), up("*"), up(), up(), up())),
            (same("TLS"), (up("*"), up("*"), up(), MatrixCell(state="slow", text="1.2 s"), up())),
            (Text("按域名访问", "by name"), (DOWN, lossy(15), up(), up(), up())),
            (Text("API·已签名", "API · signed"), (lossy(13), lossy(15), up(), up(), up())),
        ),
    )


def ranking() -> Ranking:
    return Ranking(
        shares=(
            Share(
                id="vpc_dns_rate_limited",
                title=Text("上海 VPC 的 DNS 被云厂商限频", "The cloud rate-limits DNS of the Shanghai VPC"),
                share=0.93,
                evidence=(
                    (
                        Text("经 VPC DNS 成功 11%，经公共 DNS 100%", "11% through the VPC resolver, 100% public"),
                        3.4,
                    ),
                    (Text("DNS 走 TCP 正常", "DNS over TCP still answers"), 2.1),
                    (CULPRIT, 1.9),
                    (Text("同 VPC 的 vm2 正常", "vm2, in another VPC, is fine"), 0.8),
                ),
            ),
            Share(
                id="coredns_overload",
                title=Text("CoreDNS 过载（2 副本 / 300 节点）", "CoreDNS overloaded (2 replicas for 300 nodes)"),
                share=0.04,
                evidence=((Text("集群外的 vm 也失败", "the VM outside the cluster fails too"), -2.6),),
            ),
            Share(
                id="permission_revoked",
                title=Text("密钥权限被收回", "The key's permission was revoked"),
                share=0.004,
                evidence=((Text("广州用同一把密钥正常", "the same key works from Guangzhou"), -4.2),),
            ),
        )
    )


def verdict(key: str = "run-1", room: str = ROOM) -> Message:
    return Message(
        key=key,
        room=room,
        blocks=(
            Header(
                text=Text(
                    "最可能：上海 VPC 的 DNS 被云厂商限频（93%）",
                    "Most likely: the cloud rate-limits DNS of the Shanghai VPC (93%)",
                ),
                tone="bad",
                sub=Text("/diag sms · INC-42 · 上海 prod · 用时 8.4 s", "/diag sms · INC-42 · Shanghai prod · 8.4 s"),
            ),
            Bullets(
                label=Text("为什么", "Why"),
                items=(
                    Text(
                        "上海 pod/vm 经 VPC DNS 解析成功 11%（40 次），经公共 DNS 100%",
                        "Shanghai pod and vm: 11% of 40 queries answered by the VPC resolver, 100% by the public one",
                    ),
                    Text(
                        "直连已知 IP 的 TLS/HTTP 全部正常 → 网络与权限没有问题",
                        "TLS and HTTP to the known address all work, so neither network nor permissions",
                    ),
                    Text(
                        "广州、上海第二 VPC、办公网全部正常；内网域名正常 → 不是 CoreDNS，不是地域故障",
                        "Guangzhou, the second VPC and the office are fine, so neither CoreDNS nor the region",
                    ),
                    CULPRIT,
                ),
            ),
            Paragraph(
                label=Text("现在做", "Do now"),
                text=Text(
                    "停掉或迁走 10.3.7.21；请腾讯云解除该 VPC 的 DNS 限频（负责人：运维 @lin）",
                    "Stop or move 10.3.7.21; ask Tencent Cloud to lift the VPC's DNS limit (owner: operations, @lin)",
                ),
            ),
            matrix(),
            ranking(),
            Bullets(
                label=Text("没有查到的", "Not seen"),
                items=(Text("广州 vm：DNS·VPC(TCP) 没有回应（观测点沉默 40 秒）", "guangzhou vm: silent for 40 s"),),
                folded=True,
            ),
            Paragraph(
                text=Text(
                    "像它：INC-17（3 个月前，CoreDNS 过载，指纹相似 61%）",
                    "Like it: INC-17 (3 months ago, CoreDNS overload, 61% alike)",
                )
            ),
            Buttons(
                buttons=(
                    Button(label=Text("拉战情室", "Open war room"), command="/warroom open", primary=True),
                    Button(label=Text("呼叫运维", "Page operations"), command="/page operations"),
                    Button(label=Text("通知厂商群", "Tell the vendor"), command="/vendor tencent"),
                    Button(label=Text("盯到恢复", "Watch"), command="/watch sms"),
                    Button(label=Text("全部证据", "All evidence"), command="/evidence run-1"),
                )
            ),
        ),
    )


def progress(done: int = 7, total: int = 18, key: str = "run-2", room: str = ROOM) -> Message:
    asked = matrix()
    rows = tuple(
        (title, cells if index < done // 3 else tuple(NONE if c.state == "none" else PENDING for c in cells))
        for index, (title, cells) in enumerate(asked.rows)
    )
    what = Text("正在从上海 vm 问公共 DNS", "asking the public resolver from shanghai vm")
    return Message(
        key=key,
        room=room,
        blocks=(
            Header(text=Text("正在排查 sms …", "Looking into sms …"), tone="busy", sub=same("/diag sms")),
            Progress(done=done, total=total, text=what),
            Matrix(columns=asked.columns, groups=asked.groups, rows=rows),
        ),
    )


def recovery() -> Message:
    said = Text("00:22:40 恢复：连续 5 次全绿（持续 1 h 51 min）", "Recovered at 00:22:40: 5 rounds all green")
    return Message(key="watch-1", room=ROOM, blocks=(Header(text=said, tone="good"),))


def typed(key: str, author: str, text: str, room: str = ROOM) -> Message:
    return Message(key=key, room=room, author=author, blocks=(Paragraph(text=same(text)),))


def odds_and_ends() -> Message:
    return Message(
        key="odds",
        room=ROOM,
        blocks=(
            Header(text=Text("两个产品都从同一处失败", "2 of 2 products fail from the same place"), tone="warn"),
            Table(
                columns=(Text("观测点", "agent"), Text("每秒查询", "q/s")),
                rows=(("shanghai-vm", "2,140"), ("shanghai-pod", "86")),
            ),
            Code(text="ClientError.NetworkError: lookup sms.tencentcloudapi.com: i/o timeout"),
        ),
    )


def entries() -> list[Entry]:
    said: list[tuple[EntryKind, int, str, str, str]] = [
        (EntryKind.COMMAND, 0, "xiaolin", "/diag sms", "/diag sms"),
        (EntryKind.PROBES, 9, "warroom", "18 次探测，5 个观测点", "18 probes from 5 vantage points"),
        (EntryKind.VERDICT, 10, "warroom", "上海 VPC 的 DNS 被限频（93%）", "DNS of the Shanghai VPC limited (93%)"),
        (EntryKind.INCIDENT, 41, "xiaolin", "INC-42 宣布，sev1", "INC-42 declared, sev1"),
        (EntryKind.PAGE, 44, "warroom", "已通过 webhook 呼叫 lin", "called lin through webhook"),
        (EntryKind.ACK, 76, "lin", "lin 在电话里按 1 确认", "lin acknowledged by pressing 1"),
        (EntryKind.VENDOR, 181, "xiaolin", "证据已发到厂商群", "evidence sent to the vendor's group"),
        (EntryKind.NOTE, 240, "lin", "crawler-load 已停", "crawler-load stopped"),
        (EntryKind.RECOVERY, 4961, "warroom", "恢复：连续 5 次全绿", "recovered: 5 rounds all green"),
    ]
    return [
        Entry(kind=kind, at=ONSET + timedelta(seconds=at), actor=actor, room=ROOM, zh=zh, en=en, incident="INC-42")
        for kind, at, actor, zh, en in said
    ]


def agents() -> list[Agent]:
    places = [("shanghai", "pod"), ("shanghai", "vm"), ("shanghai", "vm2"), ("guangzhou", "vm"), ("", "outside")]
    return [
        Agent(
            name=f"{region}-{vantage}".strip("-"),
            region=region,
            vantage=vantage,
            env="prod",
            vpc=f"vpc-{region}" if region else "",
            state="lost" if region == "guangzhou" else "ready",
            version="0.1.0",
            last_seen=ONSET + timedelta(seconds=418),
            lag_ms=1.4,
        )
        for region, vantage in places
    ]


INCIDENT = Incident(
    id="INC-42",
    title="短信验证码发不出去",
    severity="sev1",
    state=IncidentState.INVESTIGATING,
    room=ROOM,
    origin_room=ROOM,
    opened_at=ONSET + timedelta(seconds=41),
    opened_by="xiaolin",
)


ZONE = ZoneInfo("Asia/Shanghai")
CAUSE = Text("上海 VPC 的 DNS 被云厂商限频", "The cloud rate-limits DNS of the Shanghai VPC")


def known() -> Evidence:
    at = ONSET.astimezone(ZONE)
    said = verdict().blocks[0]
    assert isinstance(said, Header)
    return Evidence(
        snapshots=(
            Snapshot(id="verdict", title=Text("定论时", "At the verdict"), at=at, said=said.text, matrix=matrix()),
        ),
        considered=(
            Considered(id="vpc_dns_rate_limited", title=CAUSE, share=0.93, named=True),
            Considered(
                id="coredns_overload",
                title=Text("CoreDNS 过载", "CoreDNS overloaded"),
                share=0.04,
                named=False,
                against=(Text("集群外的 vm 也失败", "the VM outside the cluster fails too"),),
            ),
        ),
        cause=Cause(
            titles=(CAUSE,), share=0.93, sure=True, why=(CULPRIT,), behind=same("10.3.7.21"), remedies=(CULPRIT,)
        ),
        calls=(
            Called(
                at=at, person="lin", by=Text("电话", "phone"), through="webhook", outcome=Text("已接听", "answered")
            ),
        ),
        courses=courses(rounds(), since=ONSET - timedelta(minutes=30), until=ONSET + timedelta(minutes=30)),
        policy="default",
        next_call_at=ONSET + timedelta(minutes=5),
    )


def rounds() -> list[Round]:
    """A round a minute: all well, then a tenth of the DNS answers of Shanghai, which take their time."""
    return [
        Round(
            playbook="sms",
            at=(at := ONSET + timedelta(minutes=minute)),
            samples=tuple(
                Sample(
                    at=at,
                    agent=agent,
                    layer="dns_vpc",
                    tries=20,
                    ok=2 if minute > 0 and agent == "shanghai-pod" else 20,
                    ms=900.0 if minute > 0 and agent == "shanghai-pod" else 12.0,
                )
                for agent in ("shanghai-pod", "guangzhou-vm")
            ),
        )
        for minute in range(-28, 29)
    ]


def nights() -> list[domain.Night]:
    call = CallMade(
        key="INC-42:1:lin:1",
        incident="INC-42",
        step=1,
        person="lin",
        ways=("phone",),
        state=CallState.ANSWERED,
        queued_at=ONSET,
        sent_at=ONSET + timedelta(seconds=44),
    )
    acked = ONSET + timedelta(seconds=76)
    return [domain.Night(incident=INCIDENT, acked_at=acked, verdict=("vpc_dns_rate_limited",), calls=(call,))]


def schedules() -> list[dict[str, Any]]:
    since, until = ONSET.isoformat(), (ONSET + timedelta(days=3)).isoformat()
    return [
        {
            "schedule": "backend",
            "timezone": "Asia/Shanghai",
            "person": "lin",
            "since": since,
            "until": until,
            "override": None,
            "next": {"person": "chen", "since": until},
            "ics": None,
        },
        {
            "schedule": "network",
            "timezone": "Asia/Shanghai",
            "person": None,
            "since": None,
            "until": None,
            "override": None,
            "next": None,
            "ics": None,
        },
    ]


@dataclass
class Night:
    """A `ConsoleBackend` in memory; what is `post`ed reaches the platform as the application would do it."""

    platform: ConsolePlatform = field(default_factory=ConsolePlatform)
    rooms_: dict[str, Room] = field(default_factory=dict)
    said: dict[str, dict[str, tuple[Message, int, datetime]]] = field(default_factory=dict)
    typed: list[tuple[str, str, str, str]] = field(default_factory=list)
    timeline_: list[Entry] = field(default_factory=entries)
    incidents_: list[Incident] = field(default_factory=lambda: [INCIDENT])
    agents_: list[Agent] = field(default_factory=lambda: agents())
    evidence_: Evidence = field(default_factory=lambda: known())
    nights_: list[domain.Night] = field(default_factory=lambda: nights())
    schedules_: list[dict[str, Any]] = field(default_factory=lambda: schedules())
    playbooks_: list[Playbook] = field(default_factory=lambda: list(load_playbooks(data_folder("playbooks")).values()))
    answer: Callable[[str], Message | None] = lambda text: None
    store_down: bool = False
    refuse: UserError | None = None

    def __post_init__(self) -> None:
        self.rooms_[ROOM] = Room(key=ROOM, title="短信故障 sms", incident="INC-42")
        self.rooms_[QUIET_ROOM] = Room(key=QUIET_ROOM, title="值班 on-call")

    async def post(self, message: Message, *, at: datetime | None = None) -> None:
        room = self.said.setdefault(message.room, {})
        _, rev, first = room.get(message.key, (message, 0, at or datetime.now(UTC)))
        room[message.key] = (message, rev + 1, first)
        await self.platform.put(message, self.rooms_[message.room], None)

    async def rooms(self) -> Sequence[Room]:
        return list(self.rooms_.values())

    async def messages(self, room_key: str) -> Sequence[tuple[Message, int, datetime]]:
        if self.store_down:
            raise StoreUnavailable("away")
        return sorted(self.said.get(room_key, {}).values(), key=lambda row: row[2])

    async def say(self, *, room: str, user: str, text: str, message_id: str) -> None:
        if self.refuse:
            raise self.refuse
        self.typed.append((room, user, text, message_id))
        await self.post(typed(message_id, user, text, room))
        answer = self.answer(text)
        if answer:
            await self.post(answer)

    async def timeline(
        self,
        *,
        room: str | None = None,
        incident: Incident | None = None,
        options: Mapping[str, str] | None = None,
        words: Sequence[str] = (),
        limit: int = 200,
    ) -> Answer:
        wanted = read_filter(
            {k: v for k, v in (options or {}).items() if k not in ("before", "after")}, words, now=ONSET, zone=ZONE
        )
        fits = [
            e
            for e in self.timeline_
            if ((room and e.room == room) or (incident and e.incident == incident.id))
            and (not wanted.kinds or e.kind in wanted.kinds)
            and all(word in e.zh for word in wanted.words)
        ]
        page = Excerpt(entries=fits[-limit:], earlier=max(0, len(fits) - limit))
        return Answer(wanted=wanted, page=page, corrections=corrections(fits))

    async def incidents(self, *, search: Search = EVERYTHING) -> Sequence[Incident]:
        return [
            i
            for i in self.incidents_
            if search.text in f"{i.id} {i.title}"
            and search.severity in ("", i.severity)
            and search.is_open in (None, i.is_open)
        ]

    async def incident(self, name: str) -> Incident | None:
        return next((i for i in self.incidents_ if i.id == name), None)

    async def evidence(self, incident: Incident) -> Evidence:
        return self.evidence_

    async def figures(self, days: int) -> Figures:
        until = ONSET + timedelta(days=1)
        titles = {"vpc_dns_rate_limited": CAUSE}
        return figures(self.nights_, since=until - timedelta(days=days), until=until, zone=ZONE, titles=titles)

    async def on_call(self) -> Sequence[dict[str, Any]]:
        return self.schedules_

    def playbooks(self) -> Sequence[Playbook]:
        return self.playbooks_

    def agents(self) -> Sequence[Agent]:
        return self.agents_

    async def set_language(self, room: str, lang: Lang) -> None:
        self.rooms_[room] = replace(self.rooms_[room], lang=lang)

    async def fill(self) -> None:
        """The chat as it stands after the verdict."""
        told = [
            typed("t-1", "xiaolin", "用户拿不到验证码，报 internal service error，今天没有发版"),
            typed("t-2", "xiaolin", "/diag sms"),
            verdict(),
        ]
        for minute, message in enumerate(told):
            await self.post(message, at=ONSET + timedelta(minutes=minute))


@dataclass
class Lab:
    """The lab's state, as its own routes answer it."""

    active: bool = True
    calls: list[dict[str, str]] = field(default_factory=list)
    pressed: list[tuple[str, str]] = field(default_factory=list)

    def ring(self) -> None:
        self.calls.insert(
            0,
            {
                "key": f"INC-42:1:lin:{len(self.calls) + 1}",
                "title": "INC-42 短信验证码发不出去",
                "text": "最可能：上海 VPC 的 DNS 被云厂商限频（93%）。按 1 确认，按 2 升级。",
                "person": "lin",
                "state": "ringing",
                "since": ONSET.isoformat(),
            },
        )

    def state(self) -> dict[str, Any]:
        menu = [
            ("healthy", "一切正常", "all is well"),
            ("vpc_dns_rate_limited", "压测爬虫打满 VPC DNS 限频", "A crawler load test hits the VPC's DNS limit"),
            ("permission_revoked", "密钥权限被收回", "The key's permission is revoked"),
        ]
        return {
            "fault": "vpc_dns_rate_limited" if self.active else "healthy",
            "active": self.active,
            "faults": [{"id": i, "title": {"zh": zh, "en": en}} for i, zh, en in menu],
            "dns": {
                "vpc_limit_qps": 200 if self.active else None,
                "offered_qps": 2226.4 if self.active else 12.0,
                "answered_qps": 199.2 if self.active else 12.0,
            },
            "phone": {"calls": self.calls},
        }

    def routes(self) -> list[Route]:
        async def state(_: Request) -> Response:
            return JSONResponse(self.state())

        async def lift(_: Request) -> Response:
            self.active = False
            return JSONResponse(self.state())

        async def fault(request: Request) -> Response:
            self.active = (await request.json())["name"] != "healthy"
            return JSONResponse(self.state())

        async def phone(request: Request) -> Response:
            given = await request.json()
            self.pressed.append((given["key"], given["digits"]))
            for call in self.calls:
                if call["key"] == given["key"]:
                    call["state"] = "completed"
            return JSONResponse(self.state())

        return [
            Route("/lab/state", state),
            Route("/lab/lift", lift, methods=["POST"]),
            Route("/lab/fault", fault, methods=["POST"]),
            Route("/lab/phone", phone, methods=["POST"]),
        ]


@dataclass
class Console:
    """A console that is being served."""

    url: str
    night: Night
    lab: Lab
    sessions: Sessions
    server: uvicorn.Server

    def entry(self, where: str = "/") -> str:
        """An address that signs in and leads on."""
        return f"{self.url}/login?code={self.sessions.new_code('xiaolin')}&next={where}"


@contextlib.asynccontextmanager
async def served(night: Night | None = None, *, lab: bool = False) -> AsyncIterator[Console]:
    """A real server on a free loopback port; it must stop by itself although event streams are open."""
    night, world = night or Night(), Lab()
    sessions = Sessions(api_token=TOKEN)
    look = Look(
        lab=lab,
        playbooks=lambda: [("sms", Text("短信不可用", "SMS cannot be sent")), ("cos", Text("对象存储", "COS"))],
        stopping=lambda: server.should_exit,
        now=lambda: ONSET + timedelta(minutes=7),
    )
    app = Starlette(
        routes=routes(
            backend=night,
            platform=night.platform,
            sessions=sessions,
            allowed_hosts=("127.0.0.1", "localhost"),
            renderer=Renderer(zone=ZoneInfo("Asia/Shanghai")),
            look=look,
            protected=world.routes() if lab else (),
        )
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield Console(
            url=f"http://127.0.0.1:{listening.getsockname()[1]}",
            night=night,
            lab=world,
            sessions=sessions,
            server=server,
        )
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10)
        listening.close()
