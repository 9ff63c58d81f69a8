"""What really went over the wire, and when: tcpdump with nanosecond stamps, read back packet by packet."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.servers import LOOPBACK, folder, tool

_MAGIC_NS = 0xA1B23C4D
_MARK = b"warroom-bench-mark"


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet. `at_ns` is the kernel's stamp, `payload` what follows the IP header."""

    at_ns: int
    protocol: int
    source: str
    destination: str
    payload: bytes


@dataclass
class Capture:
    """Filled when the block that recorded it has ended. `dropped` is what tcpdump says it missed."""

    packets: list[Packet] = field(default_factory=list)
    dropped: int = 0


@contextlib.contextmanager
def captured(filter_: str, *, hasty: bool = False) -> Iterator[Capture]:
    """Record what passes the filter on loopback. Needs root or CAP_NET_RAW.

    A `hasty` capture is done at once, at the price of waking tcpdump for each packet, which delays the packets.
    """
    with folder() as here, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
        mark.connect((LOOPBACK, 9))
        file = here / "pcap"
        command = [tool("tcpdump"), "-i", "lo", "-n", "-U", "-B", "16384", "-s", "200", "-Z", "root"]
        command += ["--time-stamp-precision=nano", "-w", str(file), *(["--immediate-mode"] if hasty else [])]
        command += [f"({filter_}) or (udp and dst port 9)"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        seen = Capture()
        try:
            _marked(mark, file, process)
            yield seen
            _marked(mark, file, process)
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
        dropped = next((line.split()[0] for line in said.split(b"\n") if b"dropped by kernel" in line), b"0")
        seen.packets += [p for p in _read(file.read_bytes()) if _MARK not in p.payload]
        seen.dropped = int(dropped)


def _marked(mark: socket.socket, file: Path, process: subprocess.Popen[bytes]) -> None:
    """Send a datagram until it stands in the file: the capture runs, and everything before it is written."""
    text, end = _MARK + str(time.monotonic_ns()).encode(), time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError):
            mark.send(text)
        time.sleep(0.05)
        if file.exists() and text in file.read_bytes():
            return
        if process.poll() is not None:
            break
    raise RuntimeError("tcpdump records nothing; it needs root or CAP_NET_RAW")


def _read(data: bytes) -> Iterator[Packet]:
    """The packets of a pcap file (draft-ietf-opsawg-pcap) of an Ethernet-like link."""
    if struct.unpack_from("=I", data)[0] != _MAGIC_NS:
        raise RuntimeError("the capture has no nanosecond stamps")
    at = 24
    while at + 16 <= len(data):
        seconds, nanos, length, _ = struct.unpack_from("=IIII", data, at)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if frame[12:14] == b"\x08\x00":
            ip = frame[14:]
            header = (ip[0] & 0x0F) * 4
            ends = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
            yield Packet(seconds * 1_000_000_000 + nanos, ip[9], *ends, ip[header:])
