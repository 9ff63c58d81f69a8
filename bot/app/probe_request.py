"""The words of a `/probe` against what there is: kinds, their parameters, and the agents connected now."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from bot.diagnosis.adhoc import HELP, Adhoc
from bot.diagnosis.burst import server_of, servers
from bot.diagnosis.forms import FORMS, PLAIN, Form, target_params
from bot.diagnosis.places import FIELDS, choose
from bot.diagnosis.probing import Probing
from bot.diagnosis.values import said, typed
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, Json
from bot.domain.text import Text
from bot.probes.base import BadParams
from bot.probes.params import Takes, UnknownParams
from bot.probes.table import KINDS, check

MAX_RESOLVERS = 4
_NOBODY = "nobody-has-this-parameter"


def probing(asked: Adhoc, agents: Sequence[Agent], playbooks: Iterable[Playbook] = ()) -> Probing:
    """Everything that is to be asked. Raises UserError, naming what is wrong and what to do instead.

    The playbooks' resolvers serve agents whose policy names none, as they do in a `/diag`.
    """
    form = form_of(asked.kind)
    known = parameters(asked.kind)
    params = _params(asked, form, known)
    _check(asked, form, params)
    if asked.kind == "dns":  # of a URL only the host is asked about
        asked = replace(asked, target=str(params["name"]))
    return Probing(asked, params, choose(asked.where, agents), known=known, resolvers=_resolvers(playbooks))


def _resolvers(playbooks: Iterable[Playbook]) -> dict[str, tuple[str, ...]]:
    """The first that any playbook names of each group."""
    found: dict[str, tuple[str, ...]] = {}
    for playbook in playbooks:
        for group, addresses in playbook.resolvers.items():
            found.setdefault(group, tuple(addresses)[:MAX_RESOLVERS])
    return found


def form_of(kind: str) -> Form:
    """How the kind is written. Raises UserError for a kind that does not exist."""
    if kind not in KINDS:
        hint = Text(f"有：{'、'.join(KINDS)}；{HELP.zh}", f"there are: {', '.join(KINDS)}; {HELP.en}")
        raise unknown(Text("探测类型", "kind of probe"), kind[:40], KINDS, hint)
    return FORMS.get(kind, PLAIN)


def parameters(kind: str) -> Mapping[str, Takes]:
    """Every parameter that a kind knows, by asking it for one it does not; {} where its form cannot tell."""
    form = FORMS.get(kind, PLAIN)
    words = shlex.split(form.example)
    target = words[0] if form.place else ""
    options = dict(w.split("=", 1) for w in words if "=" in w and w != target)
    try:
        example = form.fill({**form.read(target), **typed(options, ("timeout_ms", "spacing_ms"))})
        check(kind, {**example, _NOBODY: True})
    except UnknownParams as exc:
        return exc.known
    except BadParams:
        return {}
    return {}


def spoken(kind: str) -> dict[str, str]:
    """The parameters as people say them, without those that TARGET stands for -> what they take."""
    form, known = FORMS.get(kind, PLAIN), parameters(kind)
    named = {said(name, known): _shown(name, takes) for name, takes in known.items() if name not in form.follows}
    return dict(sorted(named.items()))


def _shown(name: str, takes: Takes) -> str:
    """As "20 (1–200)", "100ms (0ms–30s)", "udp (udp, tcp, dot)": the default, and what else it may be."""
    value = partial(_value, name)
    may = ", ".join(takes.words)
    if takes.low is not None and takes.high is not None:
        may = f"{value(takes.low)}–{value(takes.high)}"
    elif isinstance(takes.default, bool):
        may = "true, false"
    # Without `sni` it is the target's own name, which here is the example's.
    default = "" if takes.default in (None, "") or name == "sni" else value(takes.default)
    return f"{default} ({may})".strip() if may else default


def _value(name: str, value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not name.endswith("_ms"):
        return str(value)
    return f"{value / 1000:g}s" if value >= 1000 else f"{value}ms"


def _params(asked: Adhoc, form: Form, known: Collection[str]) -> dict[str, Json]:
    params = target_params(asked.kind, form, asked.target)
    given = typed(asked.options, known)
    if asked.via:
        if not form.takes_via:
            raise UserError(
                "bad_via",
                Text(
                    f"via 选解析器，只用于 dns；{asked.kind} 直连某个地址请写 to=地址",
                    f"via chooses a resolver, for dns only; {asked.kind} goes to one address with to=ADDRESS",
                ),
            )
        params["server"] = asked.via
    for name in given:
        if name in params:
            raise UserError(
                "bad_parameter",
                Text(f"{name} 给了两次，目标里已经有了", f"{name} is given twice: the target says it already"),
            )
    whole = form.fill({**params, **given})
    if form.takes_via:
        named = [server_of(server) for server in servers(whole)]
        whole["server"] = named[0] if len(named) == 1 else named
    return whole


def _check(asked: Adhoc, form: Form, params: Mapping[str, Json]) -> None:
    """What the kind itself refuses, in the words in which it was asked."""
    try:
        check(asked.kind, params)
    except UnknownParams as exc:
        raise _no_such(asked.kind, exc.names[0], exc.known, form) from exc
    except BadParams as exc:
        name, space, rest = str(exc).partition(" ")
        reason = f"{said(name, ()) if name == 'tries' else name}{space}{rest}"
        example = f"/probe {asked.kind} {form.example}"
        raise UserError(
            "bad_parameter",
            Text(
                f"{asked.kind} 的参数有误：{reason}；例如 {example}；/help probe {asked.kind} 列出参数",
                f"{asked.kind}: {reason}; for example {example}; /help probe {asked.kind} lists the parameters",
            ),
        ) from exc


def _no_such(kind: str, name: str, known: Collection[str], form: Form) -> UserError:
    names = sorted(said(k, known) for k in known if k not in form.follows)
    if name in FIELDS or name == "agent":
        hint = Text("；地点请写在 from 之后，例如 from shanghai", "; a place follows from, as in: from shanghai")
        return UserError("unknown_parameter", Text(f"{kind} 没有参数 {name}", f"{kind} has no parameter {name}") + hint)
    hint = Text(f"{kind} 的参数有：{'、'.join(names)}", f"{kind} takes: {', '.join(names)}")
    return unknown(Text("参数", "parameter"), name[:40], names, hint)
