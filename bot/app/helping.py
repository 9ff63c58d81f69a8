"""`/help`: every command with an example; `/help probe`: the kinds of probe."""

from __future__ import annotations

from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.probe_help import help_probe
from bot.domain.message import Header, Paragraph, Table
from bot.domain.text import Text
from bot.probes.table import KINDS

COMMANDS: tuple[tuple[str, Text], ...] = (
    ("/diag sms", Text("从每个观测点同时诊断短信", "ask every vantage point about SMS at once")),
    (
        "/diag vendor:tencent",
        Text("同一厂商的服务一起诊断；/diag all 是全部", "all of one vendor at once; /diag all is everything"),
    ),
    ("/diag cos region=shanghai", Text("只从上海诊断对象存储", "object storage, from shanghai only")),
    ("/probe dns NAME via vpc", Text("单独测一项；/help probe 有例子", "one probe by hand; /help probe has examples")),
    ("/watch", Text("一直测到恢复，然后通知", "keep probing until it recovers, then say so")),
    ("/watch stop", Text("停止盯守", "stop watching")),
    ("/page", Text("按策略呼叫值班，直到有人接手", "call whoever is on call, step by step, until somebody has it")),
    ("/page NAME", Text("打电话给某人，或按某个策略呼叫", "call somebody's phone, or go by a policy of that name")),
    ("/ack", Text("我来处理，停止呼叫", "I have it; stop calling")),
    ("/escalate", Text("现在就到下一步（可写人或策略）", "take the next step now (or name a person or policy)")),
    ("/oncall", Text("现在谁值班、到什么时候（可写排班名）", "who is on call until when (or of one schedule)")),
    (
        "/oncall override SCHEDULE NAME for 4h",
        Text("替班（from … until … 也可以；me 是自己）", "somebody takes over (from ... until ... too; me is you)"),
    ),
    ("/oncall override cancel ovr-1", Text("取消替班", "take an override back")),
    ("/warroom open", Text("建战情室并登记故障", "open a war room and an incident")),
    ("/warroom bind INC-1", Text("把这个房间当作战情室", "make this room the war room")),
    ("/warroom mirror wecom", Text("在另一个平台也开这个战情室", "the same war room on another platform as well")),
    (
        "/incident declare TITLE sev1 env=prod",
        Text("登记故障，按级别呼叫并自动诊断", "declare an incident: people are called, its playbook runs"),
    ),
    ("/incident status", Text("当前故障的情况", "how the incident stands")),
    ("/incident status TEXT", Text("通报进展，重新计提醒时间", "a status update; the next reminder counts from it")),
    ("/incident sev 1", Text("调整级别；升级就重新呼叫", "change the severity; a graver one calls people")),
    (
        "/incident role commander @NAME",
        Text(
            "角色：commander、scribe、liaison、responder；handover @某人，release 卸任",
            "commander, scribe, liaison or responder; handover @NAME gives yours away, release gives it back",
        ),
    ),
    ("/incident impact TEXT customers=a,b amount=N", Text("写明影响了谁", "what is broken for whom")),
    ("/incident merge INC-1", Text("和 INC-1 是同一件事，并过去", "the same as INC-1: go on there")),
    ("/incident mitigate | resolve | close | reopen", Text("已缓解、已解决、关闭、重新打开", "move it along")),
    ("/incident snooze 30m", Text("晚点再提醒", "be reminded later")),
    (
        "/vendor tencent",
        Text("厂商联系方式，把证据发给厂商群", "whom to talk to; send the evidence to the vendor's group"),
    ),
    ("/vendor tencent ticket T-123", Text("记工单号；replied 内容 记回复", "keep the ticket; replied TEXT the answer")),
    ("/note 23:40 TEXT", Text("记一条到时间线（可写当时的时间）", "put a line on the timeline, at its true time")),
    (
        "/note correct #17 TEXT",
        Text("更正 17 号记录（原文保留）", "mend entry 17; what it said is kept"),
    ),
    ("/timeline", Text("发生过什么", "what happened")),
    (
        "/timeline COS kind=note by=lin since=23:40",
        Text("按文字、类型、人、时间查找（until=、before=#17）", "by words, kind, person, time (until=, before=#17)"),
    ),
    (
        "/similar",
        Text("像过去哪次故障、当时怎么好的（可写现象）", "which earlier incident it is like, and what helped then"),
    ),
    (
        "/postmortem html",
        Text(
            "复盘文件（md、html、pdf、json；可写 zh、en；jsonl 是全部记录）",
            "the postmortem as a file (md, html, pdf, json; zh or en); jsonl is the record",
        ),
    ),
    (
        "/action add TEXT @NAME due=12-01",
        Text("登记改进项（负责人、期限，到期提醒）", "an action item, with owner, date and reminders"),
    ),
    ("/action done act-1", Text("改进项完成", "it is done")),
    ("/action list", Text("未完成的改进项（all 是全部）", "what is left to do (all: also what is done)")),
    ("/agents", Text("有哪些观测点", "who is looking, from where")),
    ("/playbooks", Text("能诊断哪些服务", "what can be diagnosed")),
    ("/language en", Text("这个房间说哪种语言（zh 或 en）", "the language of this room (zh or en)")),
)


async def help_(call: Call, tx: Tx) -> Then | None:
    """Show all commands, or teach one that has more to it."""
    lang = call.room.lang
    what = [word.lower().lstrip("/") for word in call.args[:2]]
    rest = what[1:] if what[:1] == ["probe"] else what[:1]
    if what[:1] == ["probe"] or (rest and rest[0] in KINDS):
        await call.reply(tx, *help_probe("".join(rest), lang))
        return None
    await call.reply(
        tx,
        Header(text=Text("出事了？先 /diag", "something broken? start with /diag")),
        Table(
            columns=(Text("命令", "command"), Text("作用", "what it does")),
            rows=tuple((command, text.in_(lang)) for command, text in COMMANDS),
        ),
        Paragraph(text=Text("卡片上的按钮做同样的事。", "The buttons on cards do the same.")),
    )
    return None
