from __future__ import annotations

from pathlib import Path

import pytest

from bot.agent.policy import Policy, load_policy
from bot.agent.policy_file import Budget
from bot.domain.errors import ConfigError
from bot.probes.base import Denied


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("# local\nsearch test\nnameserver 127.0.0.53\nnameserver 169.254.20.10\nnameserver fe80::1%eth0\n")
    return path


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_policy(path, resolv_conf=tmp_path / "none")


def denied(rules: Policy, kind: str, address: str, port: int) -> str:
    with pytest.raises(Denied) as caught:
        rules.check(kind, address, port)
    return str(caught.value)


PRIVATE = [
    "127.0.0.1", "127.31.0.10", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1",
    "100.64.0.1", "100.127.255.255", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1",
]  # fmt: skip
EMBEDDED = [
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:a00:1::1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b::7f00:1",
    "::127.0.0.1", "::ffff:0:10.0.0.1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "64:ff9b:1::a00:1",
    "2a00::5efe:a00:1", "2a00::200:5efe:a00:1", "2a00::300:5efe:7f00:1", "192.88.99.1",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "100.100.100.200", "169.254.0.23", "fd00:ec2::254", "169.254.170.2",
    "::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe", "64:ff9b::6464:64c8",
    "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:aa:a9:fea9:fe00:0",
    "2a00:64::a9fe:a9fe", "2a00:64:a9fe:a9fe::", "2a00:64:a:a9fe:a9:fe00::", "fd00:c1::a9fe:a9fe", "100.96.0.96",
    "2001:0:4136:e378:8000:63bf:5601:5601", "2001:0:a9fe:a9fe:8000:63bf:f7f7:f7f7", "2a00::5efe:a9fe:a9fe",
]  # fmt: skip


def spell(address: str) -> str:
    """The canonical spelling of a literal."""
    import ipaddress

    return str(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE + EMBEDDED)
def test_without_a_rule_nothing_private_is_touched(address: str) -> None:
    assert "never" not in denied(Policy(), "http", spell(address), 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "119.29.29.29", "183.60.83.19", "2400:3200::1", "64:ff9b::808:808"])
def test_public_addresses_are_allowed_by_default(address: str) -> None:
    Policy().check("http", address, 443)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_refused_whatever_a_rule_says(tmp_path: Path, address: str) -> None:
    rules = policy(
        tmp_path, "allow: [{network: 0.0.0.0/0, ports: any, kinds: any}, {network: '::/0', ports: any, kinds: any}]\n"
    )
    assert "never allowed" in denied(rules, "http", spell(address), 80)
    assert "never allowed" in denied(rules, "dns", spell(address), 53)


@pytest.mark.parametrize(
    "address",
    [
        "0x7f.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1 ", "127.0.0.01", "localhost",
        "0:0:0:0:0:0:0:1", "::FFFF:127.0.0.1", "fe80::1%eth0", "８.8.8.8", "", "8.8.8.8/32", "[::1]",
    ],
)  # fmt: skip
def test_only_canonical_literals_pass(tmp_path: Path, address: str) -> None:
    rules = policy(
        tmp_path, "allow: [{network: 0.0.0.0/0, ports: any, kinds: any}, {network: '::/0', ports: any, kinds: any}]\n"
    )
    denied(rules, "tcp", address, 80)


def test_a_rule_allows_its_network_ports_and_kinds_and_nothing_beside(tmp_path: Path) -> None:
    rules = policy(tmp_path, "allow: [{network: 10.1.0.0/16, ports: [53, 8000-9000], kinds: [dns, http]}]\n")
    rules.check("http", "10.1.2.3", 8000)
    rules.check("http", "10.1.2.3", 9000)
    rules.check("dns", "10.1.255.255", 53)
    rules.check("http", spell("::ffff:10.1.2.3"), 8443)
    assert "kind tcp" in denied(rules, "tcp", "10.1.2.3", 8000)
    assert "port 7999" in denied(rules, "http", "10.1.2.3", 7999)
    denied(rules, "http", "10.2.0.1", 8000)


def test_public_deny_leaves_only_the_rules(tmp_path: Path) -> None:
    rules = policy(tmp_path, "public: deny\nallow: [{network: 203.0.113.0/24, ports: any, kinds: any}]\n")
    rules.check("tcp", "203.0.113.9", 443)
    assert "public: deny" in denied(rules, "tcp", "8.8.8.8", 443)


def test_kinds_limit_every_target(tmp_path: Path) -> None:
    rules = policy(tmp_path, "kinds: [dns]\n")
    rules.check("dns", "8.8.8.8", 53)
    assert "kind tcp" in denied(rules, "tcp", "8.8.8.8", 443)
    assert rules.kinds_of(["tcp", "dns", "tls"]) == ("dns",)
    assert rules.context({}).kinds == frozenset({"dns"})


def test_the_hosts_resolvers_may_be_asked_by_dns_at_port_53_only(resolv_conf: Path) -> None:
    rules = load_policy(None, resolv_conf=resolv_conf)
    assert rules.resolvers() == {"host": ("127.0.0.53:53", "169.254.20.10:53")}
    rules.check("dns", "127.0.0.53", 53)
    rules.check("dns", "169.254.20.10", 53)
    denied(rules, "dns", "127.0.0.53", 5353)
    denied(rules, "tcp", "127.0.0.53", 53)
    denied(rules, "dns", "127.0.0.54", 53)


def test_a_resolver_that_the_policy_names_may_be_asked(tmp_path: Path) -> None:
    rules = policy(tmp_path, 'resolvers: {vpc: ["10.0.0.2", "10.0.0.3:5353"]}\n')
    rules.check("dns", "10.0.0.2", 53)
    rules.check("dns", "10.0.0.3", 5353)
    denied(rules, "dns", "10.0.0.3", 53)
    assert rules.context({}).host_engine == "getaddrinfo"


def test_the_whole_file_becomes_the_probes_context(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    rules = policy(
        tmp_path,
        """
allow:
  - network: 127.0.0.0/8
    ports: [5353, 8000-9000]
    kinds: [dns, http]
public: allow
resolvers: {host: ["127.10.0.10:5353"], vpc: ["127.10.0.11:5353"], public: [119.29.29.29]}
source: 127.10.1.5
tls: {ca_file: ca.pem}
capture: false
query_log: {path: q.log, format: coredns}
budget: {concurrent: 8, probes_per_second: 20, dns_per_second: 30}
""",
    )
    context = rules.context({"WARROOM_TENCENT_SECRET_ID": "id", "WARROOM_TENCENT_SECRET_KEY": "canary"})
    assert context.guard is rules
    assert (context.host_engine, context.source, context.capture) == ("direct", "127.10.1.5", False)
    assert context.resolvers["host"] == ("127.10.0.10:5353",)
    assert context.resolvers["public"] == ("119.29.29.29:53",)
    assert context.ca_file == tmp_path / "ca.pem"
    assert context.query_log is not None
    assert (context.query_log.path, context.query_log.format) == (tmp_path / "q.log", "coredns")
    assert context.credentials["tencent"].secret == "canary"
    assert "canary" not in repr(context)
    assert rules.concurrent == 8
    assert rules.budget == Budget(concurrent=8, probes_per_second=20, dns_per_second=30)


def test_a_larger_budget_of_probes_brings_the_sockets_they_need(tmp_path: Path) -> None:
    wide = policy(tmp_path, "budget: {concurrent: 1000, probes_per_second: 500}\n").budget
    assert (wide.sockets, wide.sockets_per_second) == (8000, 2000)
    said = policy(tmp_path, "budget: {concurrent: 1000, sockets: 100, sockets_per_second: 7}\n").budget
    assert (said.sockets, said.sockets_per_second) == (100, 7)


def test_a_key_may_come_from_files_and_half_a_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    environ = {"WARROOM_TENCENT_SECRET_ID": "id", "WARROOM_TENCENT_SECRET_KEY_FILE": str(tmp_path / "key")}
    assert Policy().context(environ).credentials["tencent"].secret == "from-file"
    with pytest.raises(ConfigError, match="WARROOM_TENCENT_SECRET_KEY is missing"):
        Policy().context({"WARROOM_TENCENT_SECRET_ID": "id"})
    with pytest.raises(ConfigError, match="WARROOM_TENCENT_SECRET_KEY_FILE"):
        Policy().context({**environ, "WARROOM_TENCENT_SECRET_KEY_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("alow: []\n", "alow: unknown key"),
        ("allow: [{network: 127.0.0.1/8}]\n", "'127.0.0.1/8' has host bits; did you mean '127.0.0.0/8'?"),
        ("allow: [{network: loopback}]\n", "allow[0].network: must be a CIDR network"),
        ("allow: [{ports: any}]\n", "allow[0].network"),
        (
            "allow: [{network: 10.0.0.0/8, ports: any, kinds: any}, {network: 10.0.0.0/8, ports: [http]}]\n",
            "allow[1].ports",
        ),
        ("allow: [{network: 10.0.0.0/8, ports: [9000-8000]}]\n", "allow[0].ports"),
        ("allow: [{network: 10.0.0.0/8, ports: []}]\n", "allow[0].ports"),
        ("allow: [{network: 10.0.0.0/8, ports: any, kinds: [shell]}]\n", "allow[0].kinds"),
        ("allow: [{network: 10.0.0.0/8, port: 53}]\n", "allow[0].port: unknown key"),
        ("allow: {network: 10.0.0.0/8}\n", "allow: must be a list"),
        ("public: maybe\n", "public"),
        ("kinds: [dns, shell]\n", "kinds"),
        ("resolvers: {vpc: [dns.example.com]}\n", "resolvers.vpc"),
        ("source: eth0\n", "source"),
        ("tls: {ca_file: none.pem}\n", "tls.ca_file"),
        ("capture: 'yes'\n", "capture"),
        ("query_log: {path: q.log, format: bind}\n", "query_log.format"),
        ("budget: {concurrent: 0}\n", "budget.concurrent"),
        ("budget: {concurrent: 0.5}\n", "budget.concurrent: must be a whole number"),
        ("budget: {dns_per_server_per_second: -1}\n", "budget.dns_per_server_per_second"),
        (
            "allow: [{network: 10.0.0.0/8, kinds: any}]\n",
            'allow[0].ports: is missing: name the ports, or write "ports: any"',
        ),
        (
            "allow: [{network: 10.0.0.0/8, ports: any}]\n",
            'allow[0].kinds: is missing: name the kinds, or write "kinds: any"',
        ),
        ("allow: [{network: 10.0.0.0/8, ports: any, kinds: }]\n", "allow[0].kinds: is missing"),
        ("allow: [{network: 10.0.0.0/8, ports: '\u0665\u0663', kinds: any}]\n", "allow[0].ports"),
        ("allow: [{network: 10.0.0.0/8, ports: any, kinds: []}]\n", "allow[0].kinds"),
        ("kinds: [[dns]]\n", "kinds: unknown kind"),
        ('query_log: {path: "a\\0b"}\n', "query_log.path"),
        ("- a list\n", "must be a mapping"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_wrong_policy_names_its_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'policy.yaml'}: ")
    assert key in str(caught.value)


def test_a_policy_file_that_is_not_there_is_an_error_never_the_default(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_policy(tmp_path / "none.yaml")


def test_an_empty_policy_file_is_the_default_policy(tmp_path: Path) -> None:
    rules = policy(tmp_path, "")
    rules.check("tcp", "8.8.8.8", 53)
    denied(rules, "tcp", "127.0.0.1", 53)
