"""Benchmarks beside their peers: `make bench`, or `python -m tests.bench [ROW ...] [--quick] [--json FILE]`."""
