"""A message that takes several requests: when one fails, the next try goes on where the last one stopped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

Step = Callable[[], Awaitable[str]]
"""One request; returns what WeCom called its result, "" for nothing."""
MOST = 1000


class Steps:
    """Remembers, by message and content, what was sent already."""

    def __init__(self) -> None:
        self._done: OrderedDict[str, list[str]] = OrderedDict()

    def begun(self, ident: str) -> bool:
        """Whether some of it was sent already."""
        return bool(self._done.get(ident))

    async def run(self, ident: str, steps: Sequence[Step]) -> Sequence[str]:
        """The results of all steps, those of earlier tries included. Raises what a step raises."""
        done = self._done.setdefault(ident, [])
        self._done.move_to_end(ident)
        while len(self._done) > MOST:
            self._done.popitem(last=False)
        for step in steps[len(done) :]:
            done.append(await step())
        self._done.pop(ident, None)
        return done
