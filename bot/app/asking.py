"""How to ask for a fact that nobody measured; {place} is where. One question for each word of the facts' vocabulary."""

from __future__ import annotations

from collections.abc import Mapping

from bot.diagnosis.history import TIMING_FIELDS
from bot.domain.text import Text

LAYERS: Mapping[str, Text] = {
    "dns_internal": Text(
        "从 {place} 解析集群自己的内网域名正常吗？", "do the cluster's own names resolve from {place}?"
    ),
    "dns_host": Text("{place} 自己配置的 DNS 解析正常吗？", "does the DNS that is configured on {place} answer?"),
    "dns_coredns": Text(
        "从 {place} 直接问 CoreDNS pod 正常吗？", "do the CoreDNS pods answer when asked directly from {place}?"
    ),
    "dns_vpc": Text("从 {place} 问 VPC DNS 正常吗？", "does the VPC's DNS answer from {place}?"),
    "dns_vpc_tcp": Text("从 {place} 走 TCP 问 VPC DNS 正常吗？", "does the VPC's DNS answer over TCP from {place}?"),
    "dns_public": Text("从 {place} 问公共 DNS 正常吗？", "does a public resolver answer from {place}?"),
    "control_dns": Text("从 {place} 解析对照站点的域名正常吗？", "do names of control sites resolve from {place}?"),
    "ping": Text("从 {place} ping 得通目标吗？", "does the target answer pings from {place}?"),
    "tcp": Text("从 {place} 能连上目标端口吗？", "does the target's port accept connections from {place}?"),
    "neighbour": Text(
        "从 {place} 能连上同一地址的其他端口吗？", "do other ports of the same address accept connections from {place}?"
    ),
    "tls": Text("从 {place} 与目标的 TLS 握手成功吗？", "does the TLS handshake succeed from {place}?"),
    "http": Text(
        "从 {place} 直连已知地址的 HTTP 正常吗？", "does HTTP straight to the known address work from {place}?"
    ),
    "control": Text("从 {place} 访问对照站点正常吗？", "do control sites work from {place}?"),
    "by_name": Text("从 {place} 按域名访问服务正常吗？", "does the service work by name from {place}?"),
    "service": Text("从 {place} 访问我们自己的服务正常吗？", "does our own service work from {place}?"),
    "api": Text(
        "从 {place} 不带签名调用 API 有应答吗？", "does the API answer calls without a signature from {place}?"
    ),
    "api_signed": Text("从 {place} 带签名调用 API 成功吗？", "do signed API calls succeed from {place}?"),
    "store": Text("从 {place} 访问对象存储正常吗？", "does the object store work from {place}?"),
    "db": Text("从 {place} 能连上数据库吗？", "does the database let {place} in?"),
}
"""Layer -> does it work from there?"""

FIELDS: Mapping[str, Text] = {
    "odd_answers": Text(
        "{place} 解析到的地址和别处一样吗？", "does {place} resolve to the same addresses as everybody else?"
    ),
    "unasked": Text("每一样依赖都有人问过吗？", "was every dependency asked by somebody?"),
    "slow_services": Text("有哪个服务比平时慢吗？", "is one of the services slower than usual?"),
    "other_answers": Text("别处解析到的是另一个地址吗？", "does anybody elsewhere resolve to another address?"),
    "shared_answers": Text(
        "{place} 解析到的地址和别处一样吗？", "does {place} resolve to the same addresses as everybody else?"
    ),
    "resolvers_differ": Text(
        "在 {place}，自己的 DNS 和公共 DNS 给的地址一样吗？",
        "do the own and a public resolver give the same address in {place}?",
    ),
    "told_alike": Text("{place} 各处解析到的地址一样吗？", "do all of {place} resolve to the same address?"),
    "told_by_region": Text("别的地域各有各的地址吗？", "do other regions resolve to addresses of their own?"),
    "near_told_same": Text(
        "同地域的另一个 VPC 解析到的地址和 {place} 一样吗？",
        "does another VPC of the region resolve to the same address as {place}?",
    ),
    "own": Text("{place} 解析到的地址能直连吗？", "does the address that {place} resolves to work?"),
    "own_far": Text(
        "{place} 解析到的地址，从别处能直连吗？", "does the address that {place} resolves to work from elsewhere?"
    ),
    "other": Text(
        "从 {place} 能直连别处解析到的地址吗？", "does the address that others resolve to work from {place}?"
    ),
}
"""A field of a group that compares addresses."""

ABOUT: Mapping[str, Text] = {
    "top": Text("{place} 里谁的 DNS 请求最多？", "who sends the most DNS queries in {place}?"),
    "mtu": Text("从 {place} 发的大包能到目标吗？", "do large packets from {place} reach the target?"),
    "trace": Text("从 {place} 到目标的路径断在哪里？", "where does the route from {place} to the target end?"),
    "coredns": Text(
        "{place} 的 CoreDNS 副本够吗，每个 pod 都应答吗？", "has {place} enough CoreDNS replicas, and does each answer?"
    ),
    "status": Text("厂商的状态页怎么说？", "what does the vendor's status page say?"),
    "changes": Text("出事前一小时内有发布或变更吗？", "was anything deployed or changed in the hour before it began?"),
}
"""A follow-up's group of facts."""

TIMES = frozenset(TIMING_FIELDS)
SLOWER = Text("从 {place} 看，{layer} 比平时慢吗？", "is {layer} slower than usual from {place}?")
CLOCK = Text("{place} 的时钟准吗？", "is the clock right at {place}?")
