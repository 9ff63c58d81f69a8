"""The parts to measure against, each a real program started for the measurement and ended with it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
TARGETS = "127.9.0.0/16"
"""Where the TCP and HTTP targets live: many addresses of one server, lest the ports of one destination run out."""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="warroom-bench-") as path:
        yield Path(path)


def target(number: int) -> str:
    """One of the 65,024 addresses of the targets."""
    return f"127.9.{number // 254 % 256}.{number % 254 + 1}"


def free_port() -> int:
    """A port nobody uses, for TCP or UDP, below those that the system gives to the probes themselves."""
    for port in random.sample(range(10_000, 30_000), 100):
        with (
            contextlib.suppress(OSError),
            socket.socket() as stream,
            socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind(("", port))
            datagrams.bind(("", port))
            return port
    raise RuntimeError("no free port was found")


@contextlib.contextmanager
def running(*command: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, from when it listens at `port` until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _await(process, port)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, port), timeout=0.2).close()
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    _, said = process.communicate()
    raise RuntimeError(f"{process.args!r} did not start: {said.decode(errors='replace')[-500:]}")


@contextlib.contextmanager
def unbound() -> Iterator[int]:
    """A resolver that knows every name under "bench.test" by heart; yields its port on 127.0.0.1."""
    with folder() as here:
        port = free_port()
        config = here / "unbound.conf"
        config.write_text(
            f"""server:
  interface: {LOOPBACK}@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{here}"
  pidfile: ""
  use-syslog: no
  logfile: "{here}/log"
  num-threads: 1
  so-rcvbuf: 1m
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  local-zone: "bench.test." redirect
  local-data: "bench.test. 60 IN A 127.31.0.10"
remote-control:
  control-enable: no
"""
        )
        with running(tool("unbound"), "-d", "-c", str(config), port=port):
            yield port


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    """A web server with a short answer, at every address of 127/8; yields its port."""
    with folder() as here:
        port = free_port()
        config = here / "nginx.conf"
        config.write_text(
            f"""daemon off; master_process off; pid {here}/pid; error_log {here}/errors crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
  server {{ listen {port} backlog=4096; location / {{ return 200 "hello\\n"; }} }}
}}
"""
        )
        with running(tool("nginx"), "-c", str(config), port=port):
            yield port


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A blackbox_exporter that runs."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """The processor time it has used, in seconds (proc(5), stat)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def blackbox(name: str = "bench.test") -> Iterator[Exporter]:
    """blackbox_exporter with a module for each of dns, tcp and http."""
    with folder() as here:
        port = free_port()
        config = here / "blackbox.yml"
        config.write_text(
            f"""modules:
  dns:
    prober: dns
    timeout: 2s
    dns: {{transport_protocol: udp, preferred_ip_protocol: ip4, query_name: {name}, query_type: A}}
  tcp: {{prober: tcp, timeout: 2s, tcp: {{preferred_ip_protocol: ip4}}}}
  http: {{prober: http, timeout: 4s, http: {{preferred_ip_protocol: ip4}}}}
"""
        )
        command = [tool("prometheus-blackbox-exporter"), f"--config.file={config}", "--log.level=error"]
        with running(*command, f"--web.listen-address={LOOPBACK}:{port}", port=port) as process:
            yield Exporter(port=port, pid=process.pid)


def tool(name: str) -> str:
    """Where a program is; daemons live where an ordinary user's PATH does not look."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed; tests/bench/setup.sh installs it")
    return found
