"""Records of any logger, rewritten before they are written down."""

from __future__ import annotations

import logging
from collections.abc import Callable


class RewritingFilter(logging.Filter):
    """Put on a log handler, it rewrites every record that passes, tracebacks included."""

    def __init__(self, rewrite: Callable[[str], str]) -> None:
        super().__init__()
        self._rewrite = rewrite

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record's text is replaced by its rewritten form."""
        record.msg, record.args = self._rewrite(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._rewrite(record.exc_text)
        return True
