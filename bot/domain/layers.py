"""The rows of the matrix: what was asked, in the order in which a request passes through it."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.text import Text


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the matrix; `pinned` rows take DNS out of the path."""

    id: str
    title: Text
    pinned: bool = False


LAYERS: tuple[Layer, ...] = (
    Layer("dns_internal", Text("DNS·内网域名", "DNS · internal")),
    Layer("dns_host", Text("DNS·本机", "DNS · host")),
    Layer("dns_coredns", Text("DNS·CoreDNS", "DNS · CoreDNS pods")),
    Layer("dns_vpc", Text("DNS·VPC", "DNS · VPC")),
    Layer("dns_vpc_tcp", Text("DNS·VPC(TCP)", "DNS · VPC over TCP")),
    Layer("dns_public", Text("DNS·公共", "DNS · public")),
    Layer("control_dns", Text("对照·DNS", "control · DNS")),
    Layer("ping", Text("ping", "ping"), pinned=True),
    Layer("tcp", Text("TCP", "TCP"), pinned=True),
    Layer("neighbour", Text("TCP·邻近端口", "TCP · other port"), pinned=True),
    Layer("tls", Text("TLS", "TLS"), pinned=True),
    Layer("http", Text("HTTP", "HTTP"), pinned=True),
    Layer("control", Text("对照·HTTPS", "control · HTTPS"), pinned=True),
    Layer("by_name", Text("按域名访问", "by name")),
    Layer("service", Text("自己的服务", "our own service")),
    Layer("api", Text("API·未签名", "API · unsigned")),
    Layer("api_signed", Text("API·已签名", "API · signed")),
    Layer("store", Text("对象存储", "object store")),
    Layer("db", Text("数据库", "database")),
)
"""Fixed ids; a request by name passes DNS, TCP, TLS, HTTP and API in turn."""

BY_ID = {layer.id: layer for layer in LAYERS}
LAYER_IDS = tuple(layer.id for layer in LAYERS)
OTHER = ("dns_top", "mtu", "trace", "coredns", "changes", "status_page", "learn", "probe")
"""Layers of observations that are not a row of the matrix."""
