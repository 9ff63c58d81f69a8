from __future__ import annotations

import math

from bot.probes.cluster.prom_text import Sample, samples

TEXT = r"""
# HELP up Whether.
# TYPE up gauge
up 1
up{job="a b",path="C:\\x\n\"q\"",} 2.5e3 1395066363000
up{le="+Inf"} +Inf
up{} NaN
up { job = "spaced" } 3
up{job="brace } # {"} 4
up_total{job="x"} 7 # {trace_id="abc"} 0.5 1.5
up{job="unfinished 5
up{job=bare} 6
up
up one
other 9
"""


def test_the_text_format_is_read_with_its_escapes_and_what_is_malformed_is_passed_over() -> None:
    found = list(samples(TEXT, {"up", "up_total"}))
    assert [s for s in found if not math.isnan(s.value)] == [
        Sample("up", {}, 1),
        Sample("up", {"job": "a b", "path": 'C:\\x\n"q"'}, 2500),
        Sample("up", {"le": "+Inf"}, math.inf),
        Sample("up", {"job": "spaced"}, 3),
        Sample("up", {"job": "brace } # {"}, 4),
        Sample("up_total", {"job": "x"}, 7),
    ]
    assert len(found) == 7


def test_names_that_nobody_wants_cost_nothing() -> None:
    assert list(samples(TEXT, {"nobody"})) == []
