"""Exceptions and errno values become failures here, once; nothing else in Warroom reads an errno.

The phase decides the name: a connection reset while TLS shakes hands is `tls_failed`, for TCP has worked.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from bot.domain.failure import Failure, FaultOf, Phase


class LocalError(Exception):
    """The agent's own system refused before anything was sent: no route, no descriptor, no such address."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode.get(code, str(code)))
        self.code = code


class Classified(Exception):
    """A failure that the place it was met in has already named; `reason` is shown as it stands."""

    def __init__(self, failure: Failure, *, fault: FaultOf | None = None, reason: str = "") -> None:
        super().__init__(reason or failure.value)
        self.failure = failure
        self.fault = fault
        self.reason = reason


class Closed(Exception):
    """The peer closed the connection in the middle of an exchange."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an exception means. `fault` is None where the failure says it all; `reason` is for people."""

    failure: Failure
    fault: FaultOf | None = None
    reason: str = ""


CAUGHT = (OSError, TimeoutError, LocalError, Classified, Closed)
"""What a try may raise that `classify` can name; `ssl.SSLError` and `socket.gaierror` are OSErrors."""

_TIMEOUTS = {
    Phase.DNS: Failure.DNS_TIMEOUT,
    Phase.TCP: Failure.TCP_TIMEOUT,
    Phase.TLS: Failure.TLS_TIMEOUT,
    Phase.ICMP: Failure.PING_TIMEOUT,
    Phase.DB: Failure.DB_TIMEOUT,
    Phase.PATH: Failure.TRACE_UNREACHED,
    Phase.CLOCK: Failure.CLOCK_TIMEOUT,
}
_BROKEN = {
    Phase.DNS: Failure.DNS_UNREACHABLE,
    Phase.TCP: Failure.TCP_RESET,
    Phase.TLS: Failure.TLS_FAILED,
    Phase.DB: Failure.DB_PROTOCOL,
    Phase.CLOCK: Failure.CLOCK_TIMEOUT,
}
_OWN = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EADDRINUSE,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
    errno.EBADF,
}
_UNREACHABLE = {
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_UNREACHABLE,
}
_RESETS = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN}

# OpenSSL x509_vfy.h: X509_V_ERR_*
_DATES = {9, 10}
_HOST = {62, 63, 64}


def classify(exc: BaseException, phase: Phase) -> Diagnosis:
    """Name what went wrong in `phase`."""
    if isinstance(exc, Classified):
        return Diagnosis(exc.failure, exc.fault, exc.reason)
    if isinstance(exc, LocalError):
        return Diagnosis(_UNREACHABLE.get(exc.code, Failure.AGENT_ERROR), FaultOf.AGENT, str(exc))
    if isinstance(exc, TimeoutError):
        return Diagnosis(_TIMEOUTS.get(phase, Failure.HTTP_TIMEOUT))
    if isinstance(exc, ssl.SSLError):
        return _tls(exc, phase)
    if isinstance(exc, Closed):
        return Diagnosis(_BROKEN.get(phase, Failure.HTTP_PROTOCOL), reason="closed by the peer")
    if isinstance(exc, OSError):
        return _system(exc, phase)
    return Diagnosis(Failure.AGENT_ERROR, FaultOf.AGENT, type(exc).__name__)


def _tls(exc: ssl.SSLError, phase: Phase) -> Diagnosis:
    if isinstance(exc, ssl.SSLCertVerificationError):
        reason = exc.verify_message
        if exc.verify_code in _DATES:
            return Diagnosis(Failure.TLS_EXPIRED, reason=reason)
        if exc.verify_code in _HOST:
            return Diagnosis(Failure.TLS_WRONG_HOST, reason=reason)
        return Diagnosis(Failure.TLS_UNTRUSTED, reason=reason)
    reason = (exc.reason or type(exc).__name__).lower()
    return Diagnosis(Failure.HTTP_PROTOCOL if phase is Phase.HTTP else Failure.TLS_FAILED, reason=reason)


def _system(exc: OSError, phase: Phase) -> Diagnosis:
    code = exc.errno or 0
    name = errno.errorcode.get(code, type(exc).__name__)
    if isinstance(exc, socket.gaierror) or code in _OWN:
        return Diagnosis(Failure.AGENT_ERROR, FaultOf.AGENT, name)
    if phase is Phase.DNS:
        return Diagnosis(Failure.DNS_UNREACHABLE, reason=name)
    if code in _UNREACHABLE:
        return Diagnosis(_UNREACHABLE[code], reason=name)
    if code == errno.ECONNREFUSED and phase in (Phase.TCP, Phase.ICMP):
        return Diagnosis(Failure.TCP_REFUSED, reason=name)
    if code in _RESETS or code == errno.ECONNREFUSED:
        return Diagnosis(_BROKEN.get(phase, Failure.HTTP_PROTOCOL), reason=name)
    return Diagnosis(Failure.AGENT_ERROR, FaultOf.AGENT, name)
