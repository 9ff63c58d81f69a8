"""The command line as a client of a running bot: JSON on stdout and nothing else, progress on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from bot.agent.hub_tls import tls_hint, trusted
from bot.app.plain import grid
from bot.diagnosis.adhoc import read
from bot.domain.command import is_option
from bot.domain.errors import ConfigError, UserError, WarroomError
from bot.domain.text import Text, lang_of, percent

DONE, FAILED, WRONG_USE = 0, 1, 2
ASKING_AFTER_S = 0.7
TITLES = {"last_seen": "last answer", "update_due_at": "update due"}
"""Columns that read otherwise than the API's fields."""


class RemoteError(WarroomError):
    """The bot refused or could not be reached; the message says why and what to do.

    `code` is the bot's word for what was wrong with the request, "" where it gave none.
    """

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class Remote:
    """A running bot. `server` "" takes WARROOM_SERVER, else the default address."""

    def __init__(self, server: str = "", *, timeout_s: float = 60.0) -> None:
        self._url = (server or os.environ.get("WARROOM_SERVER") or "http://127.0.0.1:8800").rstrip("/")
        self._client = httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {_token()}"},
            timeout=timeout_s,
            trust_env=False,
            verify=trusted(os.environ),
        )

    def get(self, path: str, **params: Any) -> Any:
        """GET as JSON. Raises RemoteError."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON, get JSON. Raises RemoteError."""
        return self._call("POST", path, json=body)

    def delete(self, path: str) -> Any:
        """DELETE. Raises RemoteError."""
        return self._call("DELETE", path)

    def fetch(self, path: str, **params: Any) -> bytes:
        """GET a file. Raises RemoteError."""
        return self._answer("GET", path, params=params).content

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        answer = self._answer(method, path, **kwargs)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **kwargs)
        except httpx.TimeoutException as exc:
            raise RemoteError(f"{self._url} did not answer in time") from exc
        except httpx.InvalidURL as exc:
            raise ConfigError(f"--server {self._url!r} is no URL: {exc}") from exc
        except (httpx.TransportError, httpx.UnsupportedProtocol) as exc:
            hint = tls_hint(exc, self._url) or "start one with `warroom serve`, or name it with --server URL"
            raise RemoteError(f"no bot at {self._url} ({exc}); {hint}") from exc
        if answer.is_success:
            return answer
        raise RemoteError(_reason(answer), code=_code(answer))


def enroll(name: str, *, ttl: str, server: str, as_json: bool) -> int:
    """`warroom agent enroll`: the token alone on stdout, so that a script can take it."""
    asked = {"name": name, "ttl_s": _seconds(ttl), "user": os.environ.get("USER", "cli")}
    minted = Remote(server).post("/api/v1/agents/invitations", asked)
    if as_json:
        print(json.dumps(minted, ensure_ascii=False))
    else:
        print(minted["token"])
        print(f"for {minted['name']}, once, until {minted['expires_at']}", file=sys.stderr)
    return DONE


def forget(name: str, *, server: str) -> int:
    """`warroom agent enroll --forget`."""
    done = Remote(server).delete(f"/api/v1/agents/{quote(name, safe='')}")
    what = "forgotten and disconnected" if done["disconnected"] else "forgotten"
    print(f"{name} is {what}; it must enrol anew", file=sys.stderr)
    return DONE


def _seconds(ttl: str) -> float:
    number, unit = ttl[:-1], ttl[-1:]
    try:
        seconds = float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    except (ValueError, KeyError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ConfigError(f"--ttl {ttl!r} must read like 30m, 1h or 7d")
    return seconds


def diag(playbook: str, options: Sequence[str], *, server: str, timeout_s: float, as_json: bool) -> int:
    """`warroom diag`."""
    asked: dict[str, Any] = {"options": _options(options), "user": os.environ.get("USER", "cli")}
    if playbook.endswith((".yaml", ".yml")) or "/" in playbook:
        try:
            asked["yaml"] = Path(playbook).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{playbook}: {exc}") from exc
    else:
        asked["playbook"] = playbook
    began = time.monotonic()
    remote = Remote(server, timeout_s=max(35.0, timeout_s))
    run = remote.post("/api/v1/diag", asked)["run"]
    print(f"{run}: asking every vantage point ...", file=sys.stderr)
    while True:
        left = timeout_s - (time.monotonic() - began)
        found = remote.get(f"/api/v1/runs/{run}", wait=max(0.1, min(25.0, left)))
        if found["finished"]:
            break
        if left <= 0:
            raise RemoteError(f"no answer within {timeout_s:.0f} s; the run goes on as {run}")
    document = found["document"]
    if document is None:
        raise RemoteError(f"{run} was interrupted by a restart of the bot; ask again")
    print(json.dumps(document, ensure_ascii=False, indent=2) if as_json else summary(document))
    return DONE


def summary(document: dict[str, Any]) -> str:
    """A diag document as lines, with what the card says and in its language; documents of older bots have less."""
    lang = lang_of(str(document.get("language", "en")))
    lines = [document["headline"], f"  /diag {document['playbook']} · {document['took_s']:.1f} s"]
    groups = document.get("reasons") or [{"title": "", "why": document["why"]}]
    for group in groups:
        lines += [f"  {group['title']}"] if len(groups) > 1 and group["title"] else []
        lines += [f"  · {reason}" for reason in group["why"]]
    lines += [f"  {line}" for line in document.get("before", ())]
    lines += [f"  · {code}" for code in document.get("errors", ())]
    lines += [f"  → {what}" for what in document.get("doing", _remedies(document))]
    culprit = document["culprit"]
    if culprit:
        rate = f"{culprit.get('qps', 0):,.0f}"
        name = Text("元凶", "culprit").in_(lang)
        lines.append(f"  {name}: {culprit.get('address')}  {rate} {Text('次/秒', 'queries/s').in_(lang)}")
    asking = Text("还要弄清", "to find out").in_(lang)
    lines += [f"  {asking}: {question}" for question in document.get("deciding", ())]
    lines += [f"  {percent(h['share']):>5}  {h['id']}" for h in document["hypotheses"][:4] if h["share"] >= 0.01]
    absent = document.get("missing_text") or "; ".join(document["missing"]) or "-"
    lines.append(f"  {Text('没有查到', 'missing').in_(lang)}: {absent}")
    lines += [f"  {note}" for note in document.get("notes", ())]
    return "\n".join(lines)


def _remedies(document: dict[str, Any]) -> list[str]:
    named = [h for h in document["hypotheses"] if h["id"] in document["verdict"] and h["remedy"]]
    return [f"{h['remedy']}  ({h['owner']})" for h in named]


def probe(words: Sequence[str], *, server: str, timeout_s: float, as_json: bool) -> int:
    """`warroom probe`: DONE when every agent that was asked could measure, whatever it saw."""
    try:
        asked = read([w for w in words if not is_option(w)], dict(w.split("=", 1) for w in words if is_option(w)))
    except UserError as exc:
        raise ConfigError(str(exc)) from exc
    body = {"kind": asked.kind, "target": asked.target, "from": asked.where, "via": asked.via}
    remote = Remote(server, timeout_s=timeout_s)
    # A refusal comes at once; nobody is told that agents are being asked who are not.
    asking = threading.Timer(ASKING_AFTER_S, print, (f"{asked.line()}: asking ...",), {"file": sys.stderr})
    asking.start()
    try:
        found = remote.post("/api/v1/probe", {**body, "params": asked.options, "user": os.environ.get("USER", "cli")})
    except RemoteError as exc:
        if exc.code in ("", "no_agents", "nobody_can", "store_unavailable"):
            raise
        raise ConfigError(str(exc)) from exc
    finally:
        asking.cancel()
    print(json.dumps(found, ensure_ascii=False, indent=2) if as_json else found["text"])
    return DONE if found["measured"] else FAILED


def command(text: str, *, user: str, room: str, server: str, as_json: bool) -> int:
    """`warroom command`."""
    answer = Remote(server).post("/api/v1/commands", {"text": text, "user": user, "room": room})
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(m["text"] for m in answer["messages"]))
    return FAILED if answer["error"] else DONE


def agents(*, server: str, as_json: bool) -> int:
    """`warroom agents`."""
    rows = Remote(server).get("/api/v1/agents")
    _table(rows, ("state", "name", "region", "vantage", "vpc", "cluster", "env", "last_seen"), as_json=as_json)
    lacking = [f"{row['name']}: {what}" for row in rows if row["state"] != "lost" for what in row["lacks"]]
    if lacking and not as_json:
        print("\n".join(["", "what some of them cannot do:", *lacking]))
    return DONE


def incidents(*, server: str, as_json: bool) -> int:
    """`warroom incidents`."""
    rows = Remote(server).get("/api/v1/incidents")
    _table(
        rows,
        ("id", "state", "severity", "opened_at", "acked_by", "commander", "update_due_at", "title"),
        as_json=as_json,
    )
    return DONE


def timeline(incident: str, words: Sequence[str], asked: dict[str, Any], *, server: str, as_json: bool) -> int:
    """`warroom timeline INCIDENT`: what fits, with what should stand there where it was corrected."""
    path = f"/api/v1/incidents/{quote(incident, safe='')}/timeline"
    rows = Remote(server).get(path, q=" ".join(words), **asked)
    if not as_json:
        rows = [{**row, "#": row["seq"], "text": _mended(row)} for row in rows]
    _table(rows, ("#", "at", "kind", "actor", "text"), as_json=as_json)
    return DONE


def _mended(row: dict[str, Any]) -> str:
    by = row.get("corrected")
    return f"{by['text']} (corrected by #{by['seq']}; it said: {row['text']})" if by else str(row["text"])


def verify(incident: str, *, printed: Sequence[str], server: str, as_json: bool) -> int:
    """`warroom timeline INCIDENT --verify`: FAILED when the record is not as it was written."""
    found = Remote(server).get(f"/api/v1/incidents/{quote(incident, safe='')}/verify", head=list(printed))
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return DONE if found["ok"] else FAILED
    for fault in found["faults"]:
        print(fault["en"])
    for head in found["heads"]:
        print(f"{head['chain']}: {head['entries']} entries, head {head['hash']}")
    print("the record is as it was written" if found["ok"] else "THE RECORD WAS CHANGED", file=sys.stderr)
    return DONE if found["ok"] else FAILED


def export(incident: str, *, form: str, lang: str, out: Path | None, server: str) -> int:
    """`warroom export INCIDENT`: into the file, or on stdout."""
    content = Remote(server, timeout_s=120.0).fetch(
        f"/api/v1/incidents/{quote(incident, safe='')}/export", format=form, lang=lang
    )
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return DONE
    try:
        out.write_bytes(content)
    except OSError as exc:
        raise ConfigError(f"{out}: {exc.strerror}") from exc
    print(f"{out}: {len(content):,} bytes", file=sys.stderr)
    return DONE


def _table(rows: list[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    cells = [[_shown(c, row.get(c)) for c in columns] for row in rows]
    print("\n".join(grid([[TITLES.get(c, c) for c in columns], *cells])))


def _shown(column: str, value: Any) -> str:
    """A value for people: times on this machine's clock."""
    if value is None or value == "":
        return "-"
    if column == "at" or column.endswith(("_at", "_seen")):
        return f"{datetime.fromisoformat(value).astimezone():%m-%d %H:%M:%S %Z}"
    return str(value)


def _options(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is no option; write key=value, such as region=shanghai")
    return dict(word.split("=", 1) for word in words)


def _token() -> str:
    token = os.environ.get("WARROOM_API_TOKEN", "").strip()
    file = os.environ.get("WARROOM_API_TOKEN_FILE", "")
    if not token and file:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConfigError(f"WARROOM_API_TOKEN_FILE {file}: {exc.strerror}") from exc
    if not token:
        raise ConfigError("WARROOM_API_TOKEN is not set; it must be the token the bot runs with")
    if not token.isascii():
        raise ConfigError("WARROOM_API_TOKEN has characters outside ASCII")
    return token


def _code(answer: httpx.Response) -> str:
    try:
        error = answer.json().get("error")
    except (ValueError, AttributeError):
        return ""
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _reason(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return f"the bot answered HTTP {answer.status_code}"
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("en") or error)
    detail = body.get("detail") if isinstance(body, dict) else body
    if isinstance(detail, list) and detail:
        return "; ".join(f"{'.'.join(str(p) for p in d.get('loc', ()))}: {d.get('msg')}" for d in detail[:3])
    return str(error or detail)
