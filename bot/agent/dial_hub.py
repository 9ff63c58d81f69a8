"""Reaching the hub when DNS is broken: that is the night Warroom is for.

The name is resolved anew each time, and the addresses at which the hub was reached before stand in when it does not
resolve. The certificate is checked against the name all the same.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Mapping, Sequence

from bot.agent.pipe import PipeBroken
from bot.probes.classify import Classified
from bot.probes.net import ready
from bot.probes.net.ready import Socket
from bot.probes.resolving.names import getaddrinfo

log = logging.getLogger("warroom.agent")

RESOLVE_WITHIN_S = 2.0
CONNECT_WITHIN_S = 3.0
MOST_RESOLVED = 8
"""Addresses of a name that are tried: each may cost CONNECT_WITHIN_S, and the kept ones come after them."""


async def reach(host: str, port: int, kept: Sequence[str], in_vain: Mapping[str, int]) -> tuple[socket.socket, str]:
    """A connected, non-blocking socket, and the address it leads to. Raises PipeBroken.

    `in_vain` counts how often an address answered and was not the hub: those come last, for a resolver may lie.
    """
    addresses, why = await addresses_of(host, kept)
    problems = [why] if why else []
    for address in sorted(addresses, key=lambda a: in_vain.get(a, 0)):
        try:
            return await _connect(address, port), address
        except (OSError, TimeoutError) as exc:
            problems.append(f"{address}: {str(exc) or 'no answer'}")
    raise PipeBroken(f"{host}:{port} cannot be reached ({'; '.join(problems)[:300]})")


async def addresses_of(host: str, kept: Sequence[str]) -> tuple[list[str], str]:
    """Where to dial, in order, and why the name is of no use if it is not. Raises PipeBroken if there is no hope."""
    addresses, why = await _addresses(host)
    if addresses:
        addresses = addresses[:MOST_RESOLVED]
        return [*addresses, *(a for a in kept if a not in addresses)], ""
    if not kept:
        raise PipeBroken(f"{host} does not resolve ({why}), and the hub was never reached from here before")
    log.warning("%s does not resolve (%s); dialling %s, where the hub was last", host, why, ", ".join(kept))
    return list(kept), f"{host} does not resolve"


async def _addresses(host: str) -> tuple[list[str], str]:
    """The addresses of a host, or why there are none."""
    try:
        return [str(ipaddress.ip_address(host))], ""
    except ValueError:
        pass
    try:
        found, code, _ = await getaddrinfo(host, socket.AF_UNSPEC, RESOLVE_WITHIN_S)
    except TimeoutError:
        return [], f"no answer within {RESOLVE_WITHIN_S:g} s"
    except Classified as exc:
        return [], exc.reason
    names = (name for name in dir(socket) if name.startswith("EAI_") and getattr(socket, name) == code)
    return list(dict.fromkeys(found)), next(names, f"getaddrinfo error {code}")


async def _connect(address: str, port: int) -> Socket:
    sock = Socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        code = sock.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            await ready.change(sock, CONNECT_WITHIN_S)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    ready.leave(sock)
    return sock
