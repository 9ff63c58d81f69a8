"""`/help probe`: the kinds with an example each, and `/help probe KIND`: what one kind takes."""

from __future__ import annotations

from collections.abc import Mapping

from bot.app.probe_request import form_of, spoken
from bot.diagnosis.adhoc import EXAMPLE
from bot.diagnosis.pacing import BUDGET_QPS, BUDGET_QUERIES
from bot.diagnosis.places import MANY
from bot.domain.message import Block, Bullets, Code, Header, Paragraph, Table
from bot.domain.text import Lang, Text, same
from bot.probes.table import KINDS

USAGE = "/probe KIND TARGET [from PLACE] [via host|vpc|public|ADDRESS] [key=value ...]"
WORDS: tuple[Text, ...] = (
    Text(
        "from：地域、位置、观测点、环境、VPC 或集群；“shanghai vm” 是上海的 vm，逗号隔开多处；"
        f"all 是全部，不写也是，超过 {MANY} 个观测点时每类位置问一个",
        'from: a region, vantage point, agent, env, VPC or cluster; "shanghai vm" is the vm of shanghai, commas '
        f"separate places; all is everybody, and so is nothing (of more than {MANY} agents one of each place)",
    ),
    Text(
        "via：dns 经本机（host）、VPC、公共解析器，或某个地址；不写是本机",
        "via: dns through the machine's own resolver (host), the VPC's, a public one, or an address; host by default",
    ),
    Text(
        "count=20 次数，spacing=200ms 间隔，timeout=2s 超时；整数、true/false、时长自动识别",
        "count=20 tries, spacing=200ms apart, timeout=2s each; numbers, true/false and durations are read as such",
    ),
    Text(
        f"一次 /probe 对同一个 VPC 的解析器最多 {BUDGET_QUERIES} 次查询、每秒 {BUDGET_QPS:.0f} 次，所有观测点合计；"
        "放不下会拒绝",
        f"one /probe sends a VPC's resolver at most {BUDGET_QUERIES} queries, {BUDGET_QPS:.0f} a second, all agents "
        "together; more is refused",
    ),
)

COLUMNS = (Text("参数", "parameter"), Text("默认（可选）", "default (choices)"), Text("含义", "what it is"))
NOTES: Mapping[str, Text] = {
    "count": Text("次数", "how often"),
    "spacing": Text("两次开始之间的间隔", "between the starts of two tries"),
    "timeout": Text("每次的超时", "for each try"),
    "to": Text("直连这个地址，不问 DNS", "go to this address; DNS is not asked"),
    "address": Text("IP 地址，不问 DNS", "an IP address; DNS is not asked"),
    "port": Text("端口", "the port"),
    "sni": Text(
        "TLS 里报的名字；不写就是目标的", "the name said in TLS and wanted on the certificate; the target's by default"
    ),
    "expect_status": Text(
        "算作正常的状态码，可写多个：200,301；不写时 500 以下都算正常",
        "the status that is right, or several: 200,301; without it any below 500 is",
    ),
    "expect_body": Text("正文里必须有的文字", "text that must be in the body"),
    "nonce": Text(
        "在名字前加一段随机文字，绕过缓存；此时“不存在”也算应答",
        'put random text before the name, past every cache; a "no such name" then is an answer too',
    ),
    "type": Text("记录类型", "record type"),
    "login": Text("观测点策略里 logins 的名字", "the name of a login in the agent's policy"),
    "reserved": Text(
        "另开几个连接，看是否只剩管理员的名额", "connections more, to see whether only reserved slots are left"
    ),
    "size": Text("字节", "bytes"),
    "df": Text("不许分片", "must not be fragmented"),
    "limit": Text("最多几行", "lines at most"),
    "minutes": Text("往回几分钟", "minutes back"),
    "hours": Text("往回几小时", "hours back"),
    "seconds": Text("看几秒", "how long to look, in seconds"),
    "vendor": Text("厂商", "whose API"),
    "signed": Text("用观测点的密钥签名", "signed with the agent's key"),
}


def help_probe(kind: str, lang: Lang) -> tuple[Block, ...]:
    """All kinds, or one. Raises UserError for a kind that does not exist."""
    return _one(kind.lower(), lang) if kind else _all(lang)


def _all(lang: Lang) -> tuple[Block, ...]:
    rows = tuple((_example(kind), form_of(kind).about.in_(lang)) for kind in KINDS)
    return (
        Header(
            text=Text(
                "单独测一项：从所有观测点，或指定的几处", "one probe by hand, from everywhere or from some places"
            )
        ),
        Code(text=USAGE),
        Bullets(items=WORDS),
        Table(columns=(Text("例子", "example"), Text("作用", "what it does")), rows=rows),
        Paragraph(text=Text("各类型的参数：/help probe dns", "what one kind takes: /help probe dns")),
    )


def _one(kind: str, lang: Lang) -> tuple[Block, ...]:
    form, names = form_of(kind), spoken(kind)
    head = f"/probe {kind} {form.place}".strip()
    out: list[Block] = [Header(text=same(head), sub=form.about if form.about.en else None), Code(text=_example(kind))]
    if names:
        rows = tuple((name, takes, NOTES.get(name, same("")).in_(lang)) for name, takes in names.items())
        out.append(Table(columns=COLUMNS, rows=rows))
    return (*out, Paragraph(text=Text(f"通用：{USAGE}，例如 {EXAMPLE}", f"in general: {USAGE}, as in {EXAMPLE}")))


def _example(kind: str) -> str:
    return f"/probe {kind} {form_of(kind).example}"
