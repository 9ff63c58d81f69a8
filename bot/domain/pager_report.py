"""What `warroom doctor` says of each phone provider: whom it calls, what comes back, what it cannot."""

from __future__ import annotations

from bot.domain.pager_kinds import KINDS, PagerConfig, finds_us, hears, takes_keys, variable


def report(config: PagerConfig, url: str) -> str:
    """One line; `url` is where people and providers reach the bot."""
    kind = KINDS[config.kind]
    parts = [_whom(config), _back(config, url)]
    if not kind.honours_keys:
        found = "unless its list of calls shows the first one" if kind.finds else "which it cannot be asked about"
        parts.append(f"after an uncertain answer the phone may ring twice, {found}")
    parts.append("ended by an acknowledgement" if kind.hangs_up else "a call that rings cannot be ended")
    if kind.limits:
        limits = ", ".join(map(str, kind.limits))
        parts.append(f"at most {limits} to one person, failed calls included")
    return f"phone {config.name} ({config.kind}): " + "; ".join(parts)


def _whom(config: PagerConfig) -> str:
    kind = KINDS[config.kind]
    return "calls the person" if kind.names_people else "calls whoever is on call there, not the person of the page"


def _back(config: PagerConfig, url: str) -> str:
    """What comes back, and if nothing does, why, and what to do about it."""
    kind = KINDS[config.kind]
    if hears(config, url):
        secret = f"/<WARROOM_{variable(config.name, kind.listens_by)}>" if kind.by_path else ""
        where = f"reports come to {url}/hooks/phone/{config.name}{secret}"
        if takes_keys(config, url):
            return where
        missing = " and ".join(key for key in kind.presses_by if not config.options.get(key))
        return f"{where}, pressed keys do not: set {missing}; calls say to acknowledge in the chat"
    lacks = [] if finds_us(config, url) else ["server.public_url, an address that it can reach"]
    keyed = config.secret if kind.listens_by == "SECRET" else config.secrets.get(kind.listens_by, "")
    lacks += [] if keyed else [f"WARROOM_{variable(config.name, kind.listens_by)}"]
    instead = "its status is polled" if kind.tells else "its status is not known"
    said = "calls say to acknowledge in the chat" if kind.names_people else "acknowledge in the chat as well"
    return f"nothing comes back: set {' and '.join(lacks)}; until then {instead} and {said}"
