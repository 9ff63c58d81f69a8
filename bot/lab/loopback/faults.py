"""The faults that can be switched on, as values: what each one changes in the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.domain.text import Text

Api = Literal["ok", "denied", "bad_credential", "throttled", "outage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Switches:
    """How the world differs from a healthy one. Shares are 0..1."""

    crawler: bool = False
    vpc_limit: bool = False
    vpc_dns_down: bool = False
    vpc_dns_lies: bool = False
    cluster_dns_drop: float = 0.0
    api: Api = "ok"
    expired_certificate: bool = False
    firewall: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One entry of the lab's menu."""

    id: str
    title: Text
    switches: Switches = field(default_factory=Switches)


HEALTHY = "healthy"
_MENU = (
    Fault(
        id="vpc_dns_rate_limited",
        title=Text("压测爬虫打满 VPC DNS 限频", "A crawler load test hits the VPC's DNS limit"),
        switches=Switches(crawler=True, vpc_limit=True),
    ),
    Fault(
        id="permission_revoked",
        title=Text("密钥权限被收回", "The key's permission is revoked"),
        switches=Switches(api="denied"),
    ),
    Fault(
        id="firewall_block",
        title=Text("防火墙拦截 VPC 到短信 API", "A firewall blocks the VPC from the SMS API"),
        switches=Switches(firewall=True),
    ),
    Fault(
        id="vendor_outage_global",
        title=Text("厂商短信 API 全局故障", "The vendor's SMS API is down everywhere"),
        switches=Switches(api="outage"),
    ),
    Fault(
        id="certificate_expired",
        title=Text("短信 API 证书过期", "The SMS API's certificate has expired"),
        switches=Switches(expired_certificate=True),
    ),
    Fault(
        id="resolver_down",
        title=Text("VPC DNS 完全不响应", "The VPC resolver is dead"),
        switches=Switches(vpc_dns_down=True),
    ),
    Fault(
        id="dns_wrong_answer",
        title=Text("VPC DNS 返回错误地址", "The VPC resolver gives a wrong address"),
        switches=Switches(vpc_dns_lies=True),
    ),
    Fault(
        id="coredns_overload",
        title=Text("集群 DNS 过载", "The cluster DNS is overloaded"),
        switches=Switches(cluster_dns_drop=0.8),
    ),
    Fault(
        id="vendor_throttled",
        title=Text("厂商对密钥限流", "The vendor throttles our key"),
        switches=Switches(api="throttled"),
    ),
    Fault(
        id="credential_invalid",
        title=Text("密钥已失效", "The key no longer exists"),
        switches=Switches(api="bad_credential"),
    ),
    Fault(id=HEALTHY, title=Text("一切正常", "Nothing is wrong")),
)
FAULTS: Mapping[str, Fault] = {fault.id: fault for fault in _MENU}
