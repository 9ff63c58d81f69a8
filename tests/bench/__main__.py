"""`python -m tests.bench [ROW ...] [--quick] [--json FILE]`: measure, print one table, write JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench import chat, delivery, fanout, memory, record, similar, startup, throughput, timing
from tests.bench.table import FULL, QUICK, Measure, Row, document, machine, markdown

ROWS: dict[str, Measure] = {
    "dns": throughput.dns,
    "tcp": throughput.tcp,
    "http": throughput.http,
    "tcp-time": timing.tcp,
    "dns-time": timing.dns,
    "icmp-time": timing.icmp,
    "memory": memory.memory,
    "help": startup.help_,
    "fanout": fanout.fanout,
    "due": delivery.due,
    "thousand": delivery.thousand,
    "killed": delivery.killed,
    "returned": delivery.returned,
    "slack": chat.slack,
    "record": record.write,
    "long-night": record.read,
    "wecom": chat.wecom,
    "similar": similar.similar_first,
}


def main() -> None:
    """Run the rows that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which (default all): {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean nothing")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default bench.json")
    args = parser.parse_args()
    unknown = [name for name in args.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    before, rows, failed = machine(), list[Row](), list[str]()
    for name in args.rows or ROWS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows += ROWS[name](QUICK if args.quick else FULL)
        except Exception as exc:  # noqa: BLE001 - one row that fails must not take the others' figures away
            failed.append(name)
            print(f"{name}: not measured: {type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
    print(markdown(rows))
    args.json.write_text(json.dumps(document(rows, before), indent=2) + "\n", encoding="utf-8")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
