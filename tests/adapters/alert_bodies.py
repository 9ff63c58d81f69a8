"""What monitoring systems post, in their own forms (written after their documentation)."""

from __future__ import annotations

import json
from typing import Any


def alertmanager(*alerts: dict[str, Any], status: str = "firing") -> bytes:
    """Alertmanager's webhook, version 4."""
    body = {
        "version": "4",
        "groupKey": '{}:{alertname="SmsErrors"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "warroom",
        "groupLabels": {"alertname": "SmsErrors"},
        "commonLabels": {"alertname": "SmsErrors"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts),
    }
    return json.dumps(body).encode()


def prometheus(
    name: str = "SmsErrors",
    *,
    status: str = "firing",
    severity: str = "critical",
    fingerprint: str = "c4f3a9d0e1b20713",
    **labels: str,
) -> dict[str, Any]:
    """One alert of it."""
    return {
        "status": status,
        "labels": {"alertname": name, "severity": severity, "service": "sms", **labels},
        "annotations": {"summary": f"{name} on {labels.get('instance', 'all')}"},
        "startsAt": "2026-11-24T20:31:04.123Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-24T20:45:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=x",
        "fingerprint": fingerprint,
    }


def grafana(*alerts: dict[str, Any], status: str = "firing") -> bytes:
    """Grafana's unified alerting: Alertmanager's form with more."""
    more = {"orgId": 1, "title": "[FIRING:1] SmsErrors", "state": "alerting", "message": "**Firing**"}
    rows = [{**a, "silenceURL": "https://g.example/s", "panelURL": "https://g.example/p", "values": {}} for a in alerts]
    return json.dumps({**json.loads(alertmanager(*rows, status=status)), "version": "1", **more}).encode()


def tencent(*, status: str = "1", session: str = "62b5f1c8", value: str = "97.3") -> bytes:
    """Tencent Cloud Monitor's alarm callback for a metric."""
    body = {
        "sessionId": session,
        "alarmStatus": status,
        "alarmType": "metric",
        "alarmObjInfo": {
            "region": "gz",
            "namespace": "qce/cvm",
            "appId": "1250000000",
            "uin": "100000000000",
            "dimensions": {"unInstanceId": "ins-o9p3rg3m", "objId": "9a9f3f9e"},
        },
        "alarmPolicyInfo": {
            "policyId": "policy-n4exeh88",
            "policyType": "cvm_device",
            "policyName": "CPU of the gateway",
            "policyTypeCName": "云服务器-基础监控",
            "conditions": {
                "metricName": "cpu_usage",
                "metricShowName": "CPU 利用率",
                "calcType": ">",
                "calcValue": "90",
                "currentValue": value,
                "unit": "%",
                "period": "60",
                "periodNum": "5",
                "alarmNotifyType": "continuousAlarm",
                "alarmNotifyPeriod": 300,
            },
        },
        "firstOccurTime": "2026-11-24 22:31:00",
        "durationTime": 500,
        "recoverTime": "2026-11-24 22:50:00" if status == "0" else "0",
    }
    return json.dumps(body, ensure_ascii=False).encode()
