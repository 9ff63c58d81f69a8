"""The closed vocabulary of failures, classified once at the edge (docs: DIAGNOSIS)."""

from __future__ import annotations

from enum import StrEnum


class FaultOf(StrEnum):
    """Where the fault lies. An agent's own trouble is never shown as the target's."""

    TARGET = "target"
    RESOLVER = "resolver"
    AGENT = "agent"
    POLICY = "policy"


class Phase(StrEnum):
    """The steps of reaching a service, in order; a failure belongs to exactly one."""

    AGENT = "agent"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    API = "api"
    DB = "db"
    ICMP = "icmp"
    PATH = "path"
    CLOCK = "clock"


class Failure(StrEnum):
    """What went wrong. The part before the first underscore names the phase.

    `db_unavailable` is a server that says "not now" (starting up, loading, read-only where it must not be),
    `db_error` any other structured refusal; `clock_unsynchronised` a time server that knows no time itself.
    """

    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_SERVFAIL = "dns_servfail"
    DNS_REFUSED = "dns_refused"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_TIMEOUT = "dns_timeout"
    DNS_UNREACHABLE = "dns_unreachable"
    DNS_BOGUS = "dns_bogus"
    TCP_TIMEOUT = "tcp_timeout"
    TCP_REFUSED = "tcp_refused"
    TCP_RESET = "tcp_reset"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    PING_TIMEOUT = "ping_timeout"
    MTU_BLACK_HOLE = "mtu_black_hole"
    TRACE_UNREACHED = "trace_unreached"
    TLS_TIMEOUT = "tls_timeout"
    TLS_EXPIRED = "tls_expired"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_WRONG_HOST = "tls_wrong_host"
    TLS_FAILED = "tls_failed"
    HTTP_TIMEOUT = "http_timeout"
    HTTP_STATUS = "http_status"
    HTTP_BODY = "http_body"
    HTTP_PROTOCOL = "http_protocol"
    API_DENIED = "api_denied"
    API_BAD_CREDENTIAL = "api_bad_credential"
    API_CLOCK_SKEW = "api_clock_skew"
    API_THROTTLED = "api_throttled"
    API_QUOTA = "api_quota"
    API_ALLOWLIST = "api_allowlist"
    API_INTERNAL = "api_internal"
    API_ERROR = "api_error"
    DB_TOO_MANY_CONNECTIONS = "db_too_many_connections"
    DB_AUTH = "db_auth"
    DB_TIMEOUT = "db_timeout"
    DB_UNAVAILABLE = "db_unavailable"
    DB_ERROR = "db_error"
    DB_PROTOCOL = "db_protocol"
    CLOCK_TIMEOUT = "clock_timeout"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    AGENT_LOST = "agent_lost"
    AGENT_OVERLOADED = "agent_overloaded"
    AGENT_ERROR = "agent_error"
    NOT_PERMITTED = "not_permitted"
    NO_CREDENTIAL = "no_credential"
    UNSUPPORTED = "unsupported"
    POLICY_DENIED = "policy_denied"


_AGENT = {
    Failure.AGENT_LOST,
    Failure.AGENT_OVERLOADED,
    Failure.AGENT_ERROR,
    Failure.NOT_PERMITTED,
    Failure.NO_CREDENTIAL,
    Failure.UNSUPPORTED,
}
_PREFIXES = (
    ("dns_", Phase.DNS),
    ("tcp_", Phase.TCP),
    ("host_", Phase.TCP),
    ("network_", Phase.TCP),
    ("ping_", Phase.ICMP),
    ("mtu_", Phase.PATH),
    ("trace_", Phase.PATH),
    ("tls_", Phase.TLS),
    ("http_", Phase.HTTP),
    ("api_", Phase.API),
    ("db_", Phase.DB),
    ("clock_", Phase.CLOCK),
)


def fault_of(failure: Failure) -> FaultOf:
    """Whose fault a failure is, as far as the failure alone can tell."""
    if failure is Failure.POLICY_DENIED:
        return FaultOf.POLICY
    if failure in _AGENT:
        return FaultOf.AGENT
    if failure.startswith("dns_") and failure is not Failure.DNS_NXDOMAIN:
        return FaultOf.RESOLVER
    return FaultOf.TARGET


def phase_of(failure: Failure) -> Phase:
    """The phase a failure happened in; everything before it worked."""
    if failure in _AGENT or failure is Failure.POLICY_DENIED:
        return Phase.AGENT
    return next(phase for prefix, phase in _PREFIXES if failure.startswith(prefix))
