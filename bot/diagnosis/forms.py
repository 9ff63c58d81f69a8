"""How each kind of probe is written by hand: what TARGET stands for, and what is filled in when it is not said.

One line for each kind; a kind without a line takes `key=value` only. The parameters themselves are checked by the
kind (`bot.probes`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.domain.errors import UserError
from bot.domain.probe import Json
from bot.domain.text import Text, same

Params = dict[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One kind. `place` is how TARGET is shown ("" when there is none), `example` what may follow the kind.

    `read` turns TARGET into parameters and raises ValueError; `fill` adds what was not said. `takes_via` kinds are
    sent through a resolver; `follows` are parameters a reader need not know of, for TARGET or the bot sets them.
    """

    about: Text
    place: str
    example: str
    read: Callable[[str], Params] = lambda _: {}
    fill: Callable[[Params], Params] = lambda params: params
    takes_via: bool = False
    needs_target: bool = True
    follows: frozenset[str] = frozenset()


def target_params(kind: str, form: Form, target: str) -> Params:
    """The parameters that TARGET stands for. Raises UserError when it is missing, too much, or no such thing."""
    example = f"/probe {kind} {form.example}".strip()
    if not target:
        if form.place and form.needs_target:
            raise UserError(
                "missing_target",
                Text(f"{kind} 测什么目标？例如 {example}", f"{kind} of what? for example {example}"),
            )
        return {}
    if not form.place:
        raise UserError(
            "bad_target",
            Text(f"{kind} 没有目标，只有参数；例如 {example}", f"{kind} takes no target; for example {example}"),
        )
    try:
        return form.read(target)
    except ValueError as exc:
        raise UserError(
            "bad_target",
            Text(
                f"“{target[:80]}” 不能作为 {kind} 的目标（应为 {form.place}）；例如 {example}",
                f'"{target[:80]}" is no target of {kind} ({form.place}); for example {example}',
            ),
        ) from exc


def host_port(text: str) -> tuple[str, int | None]:
    """Read "host", "host:port", "v6" or "[v6]:port"; of a URL its host and port. Raises ValueError."""
    if "://" in text:
        url = urlsplit(text)
        if not url.hostname or url.username is not None:
            raise ValueError(text)
        return url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme)
    if is_literal(text):
        return text, None
    host, colon, number = text.rpartition(":")
    if not colon:
        host, number = text, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or set(host) & set("/ []@") or (colon and not (number.isascii() and number.isdigit())):
        raise ValueError(text)
    return host, int(number) if number else None


def is_literal(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name(target: str) -> Params:
    host, _ = host_port(target)
    return {"name": host}


def _host(target: str) -> Params:
    host, port = host_port(target)
    return {"address" if is_literal(host) else "host": host, **({"port": port} if port else {})}


def _url(target: str) -> Params:
    return {"url": target if "://" in target else f"https://{target}"}


def _host_or_url(target: str) -> Params:
    return _url(target) if "://" in target else _host(target)


def _by_date(params: Params) -> Params:
    """A time server speaks NTP, a site has a Date."""
    return {"method": "http", **params} if "url" in params else params


def _action(target: str) -> Params:
    service, dot, action = target.partition(".")
    if not dot or not service or not action:
        raise ValueError(target)
    return {"service": service, "action": action}


def _pinned(params: Params) -> Params:
    """A name that is reached at another address is still the name on the certificate."""
    if "host" not in params or "address" not in params:
        return params
    return {"sni": params["host"], **{key: value for key, value in params.items() if key != "host"}}


ENDPOINTS: Mapping[str, str] = {"tencent": "tencentcloudapi.com", "aliyun": "aliyuncs.com", "aws": "amazonaws.com"}
"""The domain under which a vendor's services have their names."""
VERSIONS: Mapping[tuple[str, str], str] = {
    ("tencent", "sms"): "2021-01-11",
    ("tencent", "cls"): "2020-10-16",
    ("tencent", "cloudaudit"): "2019-03-19",
    ("tencent", "sts"): "2018-08-13",
    ("aliyun", "sts"): "2015-04-01",
    ("aws", "sts"): "2011-06-15",
}
"""Current API versions (the service's own API reference)."""


def _vendors_own(params: Params) -> Params:
    """The vendor's endpoint and version of a service, unless they are named; Tencent Cloud without a vendor."""
    filled: Params = {"vendor": "tencent", **params}
    vendor, service = str(filled["vendor"]), str(filled.get("service", ""))
    if service and vendor in ENDPOINTS:
        filled.setdefault("url", f"https://{service}.{ENDPOINTS[vendor]}")
    if (vendor, service) in VERSIONS:
        filled.setdefault("version", VERSIONS[vendor, service])
    return filled


def _bucket(params: Params) -> Params:
    """Whose store it is, by the host's domain."""
    host = urlsplit(str(params.get("url", ""))).hostname or ""
    domains = {".myqcloud.com": "cos", ".tencentcos.cn": "cos", ".amazonaws.com": "s3", ".amazonaws.com.cn": "s3"}
    vendor = next((v for domain, v in domains.items() if host.endswith(domain)), None)
    return {"vendor": vendor, **params} if vendor else params


_PLACE = frozenset({"address", "host", "port"})
_URL = frozenset({"url"})
_DB = Text("连到数据库：首包、版本、连接数", "a database's first packet, version and connections")

FORMS: Mapping[str, Form] = {
    "dns": Form(
        about=Text("解析一个域名很多次，看成功率", "ask for a name many times: the share that is answered"),
        place="NAME",
        example="sms.tencentcloudapi.com from shanghai via vpc count=20",
        read=_name,
        fill=lambda params: {"server": "@host", **params},
        takes_via=True,
        follows=frozenset({"name", "server", "start_ms"}),
    ),
    "ping": Form(
        about=Text("ICMP（不允许时用 TCP）往返时间与丢包", "round trip and loss, by ICMP or else by TCP"),
        place="HOST",
        example="119.29.29.29 from shanghai count=10",
        read=_host,
        follows=frozenset({"address", "host"}),
    ),
    "tcp": Form(
        about=Text("只建立连接", "connect, and no more"),
        place="HOST:PORT",
        example="119.29.29.29:443 count=5",
        read=_host,
        follows=_PLACE,
    ),
    "tls": Form(
        about=Text("TLS 握手与证书；to= 直连一个地址", "the handshake, and the certificate; to= pins an address"),
        place="HOST[:PORT]",
        example="doh.pub:443 to=119.29.29.29",
        read=_host,
        fill=_pinned,
        follows=frozenset({"host", "port"}),
    ),
    "http": Form(
        about=Text("一次请求，逐段计时；to= 直连一个地址", "one request, timed by phase; to= pins an address"),
        place="URL",
        example="https://sms.tencentcloudapi.com from all",
        read=_url,
        follows=_URL,
    ),
    "trace": Form(
        about=Text("沿途每一跳的丢包与时延", "the hops on the way, with loss and delay"),
        place="HOST[:PORT]",
        example="119.29.29.29 from shanghai",
        read=_host,
        follows=_PLACE,
    ),
    "mtu": Form(
        about=Text("路径 MTU，大包是否被丢", "the path MTU, and whether large packets vanish"),
        place="HOST[:PORT]",
        example="119.29.29.29 from shanghai",
        read=_host,
        follows=_PLACE,
    ),
    "api": Form(
        about=Text("调用厂商接口一次", "one call of a vendor's API"),
        place="SERVICE.ACTION",
        example="sms.DescribeSmsSignList region=ap-guangzhou",
        read=_action,
        fill=_vendors_own,
        needs_target=False,
        follows=frozenset({"service", "action"}),
    ),
    "object_store": Form(
        about=Text("对象存储桶的 HEAD", "HEAD of a bucket"),
        place="URL",
        example="https://bucket-1250000000.cos.ap-shanghai.myqcloud.com",
        read=_url,
        fill=_bucket,
        follows=_URL,
    ),
    "mysql": Form(about=_DB, place="HOST[:PORT]", example="10.3.0.9:3306", read=_host, follows=_PLACE),
    "redis": Form(about=_DB, place="HOST[:PORT]", example="10.3.0.9:6379", read=_host, follows=_PLACE),
    "postgres": Form(about=_DB, place="HOST[:PORT]", example="10.3.0.9:5432", read=_host, follows=_PLACE),
    "dns_top": Form(
        about=Text("谁在大量查询 DNS", "who sends the DNS queries"), place="", example="from shanghai vm seconds=5"
    ),
    "clock": Form(
        about=Text("与时间服务器或网站对时", "our clock against a time server or a site's Date"),
        place="HOST or URL",
        example="ntp.tencent.com",
        read=_host_or_url,
        fill=_by_date,
        follows=_PLACE | _URL | {"method"},
    ),
    "metrics": Form(
        about=Text("一条 PromQL", "one PromQL query"),
        place="URL",
        example="http://10.3.0.20:9090 query=up",
        read=_url,
        follows=_URL,
    ),
    "logs": Form(
        about=Text("日志里的错误码计数", "error codes counted in a log service"),
        place="URL",
        example="http://10.3.0.21:3100 backend=loki query='{app=\"sms\"}'",
        read=_url,
        follows=_URL,
    ),
    "coredns": Form(
        about=Text("CoreDNS 的副本、负载和每个 Pod", "CoreDNS: replicas, load, and each pod asked"),
        place="",
        example="from shanghai pod",
    ),
    "changes": Form(
        about=Text("最近的发布与权限变更", "recent rollouts and permission changes"),
        place="",
        example="from shanghai pod hours=24",
    ),
    "status_page": Form(
        about=Text("厂商状态页", "a vendor's status page"),
        place="URL",
        example="https://status.example.com",
        read=_url,
        follows=_URL,
    ),
}

PLAIN = Form(about=same(""), place="", example="key=value")
"""A kind without a line of its own."""
