"""`/probe KIND TARGET [from PLACE] [via RESOLVER] [key=value ...]`: the words of one probe by hand, read strictly."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain.errors import UserError
from bot.domain.probe import Json
from bot.domain.text import Text, legible

EXAMPLE = "/probe dns sms.tencentcloudapi.com from shanghai via vpc count=20"
HELP = Text("/help probe 有例子", "/help probe shows examples")


@dataclass(frozen=True, kw_only=True, slots=True)
class Adhoc:
    """What was asked for, word by word; nothing is looked up yet. `where` "" means that no place was named.

    The values of `options` are text as typed, or JSON where a program asks.
    """

    kind: str
    target: str = ""
    where: str = ""
    via: str = ""
    options: Mapping[str, Json] = field(default_factory=dict)

    def clean(self) -> Adhoc:
        """The same with every text fit to be shown and kept, for words that no chat has cleaned."""
        options = {legible(k): legible(v) if isinstance(v, str) else v for k, v in self.options.items()}
        return Adhoc(
            kind=legible(self.kind).lower(),
            target=legible(self.target),
            where=legible(self.where),
            via=legible(self.via),
            options=options,
        )

    def line(self) -> str:
        """The command that asks for this, as it would be typed."""
        words = ["/probe", self.kind, *([_quoted(self.target)] if self.target else [])]
        words += ["from", self.where] if self.where else []
        words += ["via", self.via] if self.via else []
        return " ".join([*words, *(f"{key}={_quoted(_shown(value))}" for key, value in self.options.items())])


def read(words: Sequence[str], options: Mapping[str, Json]) -> Adhoc:
    """Take the words apart. Raises UserError for what is no probe command at all."""
    if not words:
        raise UserError(
            "missing_kind",
            Text(f"测什么？例如 {EXAMPLE}；{HELP.zh}", f"probe what? for example {EXAMPLE}; {HELP.en}"),
        )
    parts: dict[str, list[str]] = {"": []}
    here = ""
    for word in words[1:]:
        if word.lower() in ("from", "via"):
            here = word.lower()
            if here in parts:
                raise _wrong(f"“{here}” 写了两次", f'"{here}" is said twice')
            parts[here] = []
        else:
            parts[here].append(word)
    for key, said in parts.items():
        if key and not said:
            raise _wrong(f"“{key}” 后面没有内容", f'nothing follows "{key}"')
    if len(parts[""]) > 1:
        more = " ".join(parts[""][1:])
        raise _wrong(
            f"只能有一个目标，多出了 “{more}”；地点写在 from 之后",
            f'one target only, not also "{more}"; places follow "from"',
        )
    if len(parts.get("via", ())) > 1:
        raise _wrong("via 后面只能有一个词", "via takes one word")
    return Adhoc(
        kind=words[0].lower(),
        target="".join(parts[""]),
        where=" ".join(parts.get("from", ())),
        via="".join(parts.get("via", ())),
        options=options,
    )


def _wrong(zh: str, en: str) -> UserError:
    return UserError("bad_probe", Text(f"{zh}；例如 {EXAMPLE}", f"{en}; for example {EXAMPLE}"))


def _shown(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(word: str) -> str:
    return word if word.isprintable() and not set(word) & set(" '\"\\") else shlex.quote(word)
