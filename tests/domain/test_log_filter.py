from __future__ import annotations

import io
import logging

from bot.domain.log_filter import RewritingFilter


def test_what_is_logged_is_rewritten_with_its_arguments_and_its_traceback() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RewritingFilter(lambda text: text.replace("hush", "***")))
    log = logging.getLogger("warroom.test_log_filter")
    log.addHandler(handler)
    log.error("cannot sign with %s", "hush", exc_info=ValueError("bad key hush"))
    log.removeHandler(handler)
    assert "hush" not in out.getvalue()
    assert "cannot sign with ***" in out.getvalue()
    assert "ValueError: bad key ***" in out.getvalue()
