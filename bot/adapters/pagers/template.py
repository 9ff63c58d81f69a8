"""What the templates of the Chinese clouds are filled with: short plain words, shorter ones where they are refused."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.page import Page
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import action, plain

TITLE_CHARS = 40
SHORT_CHARS = 12
"""What every template takes; used when a provider finds a variable too long."""
VARIABLES = ("severity", "title", "action")


class Template:
    """The approved template for a page, and its variables in the order of `params`."""

    def __init__(self, config: PagerConfig, *, keys: bool) -> None:
        self._templates = {"zh": config.options["template"], "en": config.options.get("template_en", "")}
        self._params = tuple(config.options.get("params", "").replace(",", " ").split()) or VARIABLES
        self._keys = keys

    def id(self, page: Page) -> str:
        """The template in the person's language, or the one there is."""
        return self._templates[page.person.lang] or self._templates["zh"]

    def values(self, page: Page, *, short: bool = False, keys: bool = True) -> Sequence[tuple[str, str]]:
        """(name, value) of each variable, none empty: both clouds refuse that. `keys`: whether the call takes any."""
        # A call that has no template of the person's language speaks the template's.
        lang = page.person.lang if self._templates[page.person.lang] else "zh"
        words = {
            "severity": plain(page.severity, SHORT_CHARS),
            "title": plain(page.title, SHORT_CHARS if short else TITLE_CHARS),
            "action": action(lang, keys=self._keys and keys, brief=short),
        }
        return [(name, words[name] or "-") for name in self._params]
