"""Which earlier incident this one is like: by what failed and how, by service, and by the words people used. Pure.

What the present run believes counts as well, where an earlier cause is settled: it is the share that cause has now.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.diagnosis.fingerprint import Fingerprint, likeness, rarities
from bot.domain.failure import Failure
from bot.domain.failure_words import failure_words
from bot.domain.layers import BY_ID
from bot.domain.text import Text, join, same

FAILED, SERVICE, WORDS, CAUSE = 0.7, 0.08, 0.08, 0.3
"""What each kind of likeness counts. Set on one half of the corpus of the bench row `similar`, judged on the other."""
WORTH = 0.35
"""What is less alike is not worth a tired reader's time."""
MOST_WHY = 4
NOTHING = Text("", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What is remembered of an incident. `beliefs` are the shares of the verdict that stands, by cause.

    `causes` are the ids that are taken for settled; `cause` and `fix` are in words.
    """

    incident: str
    title: str
    opened_at: datetime
    service: str = ""
    words: str = ""
    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint(failed={}, how={}))
    causes: tuple[str, ...] = ()
    beliefs: Mapping[str, float] = field(default_factory=dict)
    cause: Text = NOTHING
    fix: Text = NOTHING
    lasted_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Similar:
    """An earlier incident, how alike it is, 0..1, and why."""

    memory: Memory
    likeness: float
    why: tuple[Text, ...]


def similar(now: Memory, earlier: Sequence[Memory], *, most: int = 3, worth: float = WORTH) -> list[Similar]:
    """The earlier incidents that are worth looking at, the most alike first; of two equal ones the later."""
    rarity = rarities([one.fingerprint for one in earlier])
    spoken = [terms(one.words) for one in earlier]
    weigh = _idf([*spoken, terms(now.words)])
    mine = terms(now.words)
    scored = []
    for one, theirs in zip(earlier, spoken, strict=True):
        if one.incident != now.incident:
            scored.append((_score(now, one, rarity, _cosine(mine, theirs, weigh)), one))
    scored.sort(key=lambda pair: (round(pair[0], 6), pair[1].opened_at, pair[1].incident), reverse=True)
    best = [(score, one) for score, one in scored[:most] if score >= worth]
    return [Similar(memory=one, likeness=score, why=why(now, one)) for score, one in best]


def _score(now: Memory, one: Memory, rarity: Mapping[str, float], words: float) -> float:
    """A weighted mean of what can be compared on this side: before the first run that is service and words."""
    parts = [(WORDS, words)]
    if now.service:
        parts.append((SERVICE, float(now.service == one.service)))
    if now.fingerprint:
        parts.append((FAILED, likeness(now.fingerprint, one.fingerprint, rarity)))
    if now.beliefs and one.causes:
        parts.append((CAUSE, min(1.0, sum(now.beliefs.get(cause, 0.0) for cause in one.causes))))
    return sum(weight * value for weight, value in parts) / sum(weight for weight, _ in parts)


def why(now: Memory, one: Memory) -> tuple[Text, ...]:
    """What they have in common, the weightiest first."""
    found = []
    shared = sorted(now.fingerprint.how.keys() & one.fingerprint.how.keys(), key=lambda k: -now.fingerprint.how[k])
    if shared:
        failed = join([_how(key) for key in shared[:MOST_WHY]])
        found.append(Text(f"同样的失败：{failed.zh}", f"the same failed: {failed.en}"))
    if now.service and now.service == one.service:
        found.append(Text(f"同一个服务：{now.service}", f"the same service: {now.service}"))
    places = join([same(p) for p in sorted({*now.fingerprint.places} & {*one.fingerprint.places})])
    if places.en:
        found.append(Text(f"同一个地方：{places.zh}", f"the same place: {places.en}"))
    both = _phrases(now.words, one.words)
    if both:
        said = join([same(f"“{word}”") for word in both[:MOST_WHY]])
        found.append(Text(f"说法相同：{said.zh}", f"the same words: {said.en}"))
    return tuple(found)


_MARKS = {
    "slow": Text("很慢", "slow"),
    "skew": Text("时钟不准", "clocks differ"),
    "answers_differ": Text("各处得到的地址不同", "places are told other addresses"),
    "one_client": Text("一个客户端占了大半查询", "one client asks most of it"),
    "black_hole": Text("大包不通", "only small packets pass"),
    "failing": Text("不通", "failing"),
}


_DEEPER = {
    "dns": same("DNS"),
    "dns_top": Text("DNS 用量", "DNS load"),
    "mtu": Text("包长", "packet size"),
    "coredns": same("CoreDNS"),
    "clock": Text("时钟", "clock"),
}


def _how(key: str) -> Text:
    layer, _, way = key.partition("!")
    known = BY_ID.get(layer)
    title = known.title if known else _DEEPER.get(layer, same(layer))
    if way in _MARKS:
        said = _MARKS[way]
    elif way in set(Failure):
        said = failure_words(way)
    else:
        said = same(way)
    return title + Text("（", " (") + said + Text("）", ")")


_LATIN = re.compile(r"[a-z0-9][a-z0-9_.-]+")
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_COMMON = frozenset(
    {"the", "and", "for", "with", "from", "that", "this", "are", "was", "not", "is", "it", "of", "to", "in", "on"}
)


def terms(text: str) -> Counter[str]:
    """Words of Latin script and pairs of Chinese characters: Chinese has no spaces to go by."""
    low = text.lower()
    found = [word for word in _LATIN.findall(low) if word not in _COMMON]
    for run in _HAN.findall(low):
        found += [run[n : n + 2] for n in range(len(run) - 1)] or [run]
    return Counter(found)


def _phrases(one: str, other: str) -> list[str]:
    """What can be shown of what two texts share: words, and the longest runs of Chinese."""
    mine, theirs = one.lower(), other.lower()
    found = [word for word in _LATIN.findall(mine) if word in terms(theirs)]
    for run in _HAN.findall(mine):
        at = 0
        while at < len(run) - 1:
            longest = next((n for n in range(len(run), at + 1, -1) if run[at:n] in theirs), 0)
            if longest:
                found.append(run[at:longest])
            at = longest or at + 1
    return sorted(dict.fromkeys(found), key=lambda word: -len(word))


def _idf(texts: Iterable[Counter[str]]) -> Mapping[str, float]:
    known = list(texts)
    counts = Counter(term for text in known for term in text)
    return {term: math.log(1 + len(known) / count) for term, count in counts.items()}


def _cosine(one: Counter[str], other: Counter[str], weigh: Mapping[str, float]) -> float:
    def length(text: Counter[str]) -> float:
        return math.sqrt(sum((n * weigh[term]) ** 2 for term, n in text.items()))

    dot = sum(n * other[term] * weigh[term] ** 2 for term, n in one.items() if term in other)
    return dot / (length(one) * length(other)) if dot else 0.0
