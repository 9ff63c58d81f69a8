"""Tencent CloudAudit: who changed what in the account. Pure.

Source: CloudAudit API 2019-03-19, DescribeEvents (StartTime and EndTime in epoch seconds, MaxResults <= 50,
LookupAttributes such as ActionType=Write). Needs the permission cloudaudit:DescribeEvents.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.domain.change import Change, ChangeKind
from bot.probes.base import Credential
from bot.probes.vendor import tencent
from bot.probes.web.exchange import Request
from bot.probes.web.service_api import Service

PAGE = 50
MAX_PAGES = 4
_PERMISSION = re.compile(
    r"(?i).*(policy|policies|permission|role|accesskey|apikey|secretid|subaccount|authoriz|grant|securitygroup|whitelist|allowlist).*"
)
_DEPLOY = re.compile(r"(?i).*(deploy|publish|release|rollback|updatefunctioncode|updatecontainer).*")


def request(
    where: Service, region: str, credential: Credential, *, since: int, until: int, token: int | None = None
) -> Request:
    """One page of what was written between two moments (epoch seconds)."""
    asked: dict[str, Any] = {
        "StartTime": since,
        "EndTime": until,
        "MaxResults": PAGE,
        "LookupAttributes": [{"AttributeKey": "ActionType", "AttributeValue": "Write"}],
    }
    if token is not None:
        asked["NextToken"] = token
    payload, now = json.dumps(asked).encode(), int(time.time())
    headers = tencent.headers("DescribeEvents", "2019-03-19", region, now)
    signed = (("content-type", tencent.CONTENT_TYPE), ("host", where.base.authority), ("x-tc-action", "describeevents"))
    headers["authorization"] = tencent.authorization(
        credential, service="cloudaudit", signed=signed, payload=payload, timestamp=now
    )
    return where.request("/", body=payload, headers=headers)


def events(response: Mapping[str, Any], env: str) -> list[Change]:
    """The changes of one page; a call that was refused changed nothing."""
    rows = response.get("Events")
    read = (event(row, env) for row in rows if isinstance(row, Mapping)) if isinstance(rows, list) else ()
    return [change for change in read if change is not None]


def event(row: Mapping[str, Any], env: str) -> Change | None:
    """One event; None for a refused call or one without a time."""
    stamp, name = str(row.get("EventTime", "")), _word(row.get("EventName"))
    if row.get("ErrorCode") not in (0, None, "", "0") or not stamp.isdecimal() or len(stamp) > 11 or not name:
        return None
    resources = row.get("Resources")
    resource = resources if isinstance(resources, Mapping) else {}
    service, thing = _word(resource.get("ResourceType")), _word(resource.get("ResourceName"))
    local = _word(row.get("EventNameCn"))
    return Change(
        at=datetime.fromtimestamp(int(stamp), UTC),
        kind=kind_of(service, name),
        title=f"{name}{f' ({local})' if local else ''}{f' {thing}' if thing else ''}"[:300],
        who=_word(row.get("Username")),
        env=env,
        service=service,
        source="cloudaudit",
    )


def kind_of(service: str, name: str) -> ChangeKind:
    """What an action changed, by its service and name."""
    if service.lower() in ("cam", "sts") or _PERMISSION.fullmatch(name):
        return ChangeKind.PERMISSION
    return ChangeKind.DEPLOY if _DEPLOY.fullmatch(name) else ChangeKind.CONFIG


def onward(response: Mapping[str, Any]) -> int | None:
    """The token of the next page, None at the end."""
    token = response.get("NextToken")
    over = response.get("ListOver") is True
    return token if isinstance(token, int) and not isinstance(token, bool) and not over else None


def _word(value: Any) -> str:
    return value[:100] if isinstance(value, str) else ""
