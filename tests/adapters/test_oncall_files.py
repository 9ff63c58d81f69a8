"""On-call files: what is refused, with its place and its fix, and what a directory is made of."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from ruamel.yaml import YAML

from bot.adapters.oncall import Base, Loaded, load, read, schema
from bot.domain.directory import Directory
from bot.domain.errors import ConfigError
from bot.domain.escalation import QuietHours, Way
from bot.domain.page import Person
from bot.domain.schedule import Listed, Rotation, on_call
from bot.domain.wallclock import Window

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
ROOT = Path(__file__).parent.parent.parent
BASE = Base(zone=SHANGHAI, lang="en")
HEAD = 'people:\n  lin: {phone: "+8613800000001"}\n  chen: {phone: "+8613800000002"}\n'
ROTA = "schedules:\n  backend:\n    layers:\n      - {people: [lin, chen], start: 2026-01-05}\n"
STEP = "policies:\n  default:\n    steps:\n      - {who: schedule:backend}\n"


def loaded(text: str, base: Base = BASE) -> Loaded:
    return read({"x.yaml": text}, base=base, now=NOW)


def directory(text: str, base: Base = BASE) -> Directory:
    return loaded(text, base).directory


def refusal(text: str, base: Base = BASE) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(text, base)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            HEAD + ROTA.replace("chen]", "chan]"),
            'x.yaml:7:24: schedules.backend.layers.0.people.1: unknown person "chan"; did you mean "chen"?',
        ),
        (HEAD + ROTA.replace("chen]", "wang]"), 'unknown person "wang"; add it under people:, or as [[people]]'),
        (
            HEAD + ROTA + STEP.replace("schedule:backend", "schedule:front"),
            "x.yaml:11:10: policies.default.steps.0.who",
        ),
        (HEAD + ROTA + STEP.replace("schedule:backend", "backend"), "'backend' is no target; write person:backend"),
        (HEAD + ROTA + STEP.replace("schedule:backend", "team:backend"), "is no target; write person:backend"),
        (HEAD + "policies:\n  default: {steps: []}\n", "policies.default: steps: is empty, so nobody would be called"),
        (HEAD + "policies:\n  default: {steps: [{who: person:lin, by: fax}]}\n", "policies.default.steps.0.by.0"),
        (
            HEAD + "policies:\n  default: {steps: [{who: person:lin, after: 5}]}\n",
            "5 is no duration; write one such as",
        ),
        (
            HEAD + "policies:\n  a: {steps: [{who: person:lin}], then: b}\n",
            'unknown policy "b"; add it under policies:',
        ),
        (
            HEAD
            + "policies:\n  a: {steps: [{who: person:lin}], then: b}\n  b: {steps: [{who: person:lin}], then: a}\n",
            "x.yaml:5:35: policies.a.then: loops (a -> b -> a), so the escalation would never end",
        ),
        (HEAD + "policies:\n  a: {steps: [{who: person:lin}], then: a}\n", "loops (a -> a)"),
        (
            HEAD + "policies:\n  a: {steps: [{who: person:lin}]}\n  b: {steps: [{who: person:lin}]}\n",
            'sev1 has no policy; call one of them "default", or write severities: {sev1: {policy: NAME}}',
        ),
        ("people: {lin: {phone: 13800000001}}\n", "drops the plus sign; put it in quotes"),
        ('people: {lin: {phone: "138 0000 0001"}}\n', "cannot be dialled; write it with plus sign and country code"),
        ('people: {lin: {phone: "+1"}}\n', "cannot be dialled"),
        ('people: {"a:b": {}}\n', "people.a:b"),
        (HEAD + ROTA.replace("start:", "timezone: Asia/Shanghay, start:"), 'did you mean "Asia/Shanghai"?'),
        (HEAD + ROTA.replace("start: 2026-01-05", "every: 1w"), "start: is missing; name the day of the first turn"),
        (HEAD + ROTA.replace("people: [lin, chen], ", ""), "either people: (a rotation) or ical: (a calendar file)"),
        (
            HEAD + ROTA.replace("start:", "every: 1d, handover: mon 9:00, start:"),
            "names a weekday, but turns are not w",
        ),
        (HEAD + ROTA.replace("start:", "handover: 9am, start:"), "'9am' is no time of the day"),
        (HEAD + ROTA.replace("start:", "only: [mon-fir 9:00-18:00], start:"), "'fir' is no weekday"),
        (HEAD + ROTA.replace("start:", "rotate: weekly, start:"), "schedules.backend.layers.0.rotate: unknown key"),
        (
            HEAD + ROTA.replace("people: [lin, chen], start: 2026-01-05", "ical: a.ics, every: 1d"),
            "takes its turns from",
        ),
        (HEAD + ROTA.replace("people: [lin, chen], start: 2026-01-05", "ical: gone.ics"), "gone.ics: No such file"),
        ("severities: {sev1: {policy: night}}\n", 'severities.sev1.policy: unknown policy "night"'),
        (
            HEAD
            + STEP.replace(
                "schedule:backend}", "person:lin}\n    quiet: {from: '22:00', until: '08:00', severities: sev7}"
            ),
            'unknown severity "sev7"; there are sev1, sev2, sev3, sev4',
        ),
        (HEAD + "vendors: {tencent: {people: {Lin: {}}}}\n", "is one of ours too; give one another name"),
        ("vendors: {tencent: {ticket_url: 'javascript:1'}}\n", "vendors.tencent.ticket_url"),
        ("schedules: [a]\n", "x.yaml:1:1: schedules"),
        (
            HEAD + ROTA.replace("2026-01-05", "9999-12-31"),
            "schedules.backend.layers.0.start: Input should be less than",
        ),
        ("severities: {sev1: {remind: 99999999999999d}}\n", "severities.sev1.remind: '99999999999999d' is no duration"),
        ('severities: {sev1: {policy: "\\ud800"}}\n', "x.yaml:1:1: holds half a character"),
    ],
)
def test_a_mistake_is_told_with_its_place_its_reason_and_its_fix(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_rotation_has_the_words_of_the_file_and_defaults_for_the_rest() -> None:
    text = HEAD + ROTA.replace(
        "start:", "every: 2 weeks, handover: friday 18:30, only: [mon-fri 09:00-24:00, 22:00-06:00, 'sat,sun'], start:"
    )
    (layer,) = directory(text).schedules["backend"].layers
    assert layer == Rotation(
        name="layer-1",
        people=("lin", "chen"),
        every=2,
        unit="weeks",
        handover=time(18, 30),
        weekday=4,
        timezone=SHANGHAI,
        start=date(2026, 1, 5),
        windows=(
            Window(weekdays=frozenset(range(5)), start=time(9)),
            Window(weekdays=frozenset(range(7)), start=time(22), end=time(6)),
            Window(weekdays=frozenset({5, 6})),
        ),
    )


def test_people_of_warroom_toml_are_there_as_well_and_two_numbers_for_one_are_refused() -> None:
    given = (Person(name="boss", phone="+8613800000009", lang="en"), Person(name="lin", slack="U1"))
    found = directory(HEAD + ROTA.replace("chen]", "boss]"), Base(people=given, zone=SHANGHAI))
    assert list(found.people) == ["boss", "lin", "chen"]
    assert found.people["lin"] == Person(name="lin", phone="+8613800000001", slack="U1")
    twice = Base(people=(Person(name="lin", phone="+8613800000009"),))
    assert "has another number (+8613800000009); keep one of them" in refusal(HEAD, twice)


def test_with_people_and_no_policy_each_is_called_in_turn() -> None:
    assert [s.who[0].name for s in directory(HEAD).policies["default"].steps] == ["lin", "chen"]
    only = load(None, base=Base(people=(Person(name="lin"),)), now=NOW).directory
    assert list(only.policies) == ["default"]
    assert load(None, base=Base(), now=NOW).directory == Directory()


def test_a_policy_has_its_steps_ways_and_quiet_hours() -> None:
    text = (
        HEAD + "policies:\n  default:\n    rounds: 2\n    every: 90s\n    quiet: {from: '22:00', until: '7:30'}\n"
        "    steps:\n      - {who: [person:lin, role:commander]}\n      - {after: 2h, who: person:chen, by: app}\n"
    )
    policy = directory(text).policies["default"]
    assert [(s.after, [t.name for t in s.who], s.by) for s in policy.steps] == [
        (timedelta(0), ["lin", "commander"], (Way.CHAT, Way.PHONE)),
        (timedelta(hours=2), ["chen"], (Way.APP,)),
    ]
    assert (policy.rounds, policy.every) == (2, timedelta(seconds=90))
    assert policy.quiet == QuietHours(start=time(22), end=time(7, 30), timezone="Asia/Shanghai")


def test_a_severity_keeps_what_is_not_said() -> None:
    found = directory("severities: {sev1: {remind: 15m}, sev2: {unack: off, page: no}, sev5: {page: no}}\n").severities
    assert (found["sev1"].remind_every, found["sev1"].unack_after, found["sev1"].room) == (
        timedelta(minutes=15),
        timedelta(minutes=30),
        True,
    )
    assert (found["sev2"].unack_after, found["sev2"].page, found["sev2"].room) == (None, False, True)
    assert not found["sev5"].page


def test_vendors_of_both_files_are_one() -> None:
    base = Base(rooms={"tencent": "console:tx", "aliyun": "console:ali"})
    found = directory("vendors: {tencent: {title: 腾讯云, phones: '+864009100100', plan: Premier}}\n", base).vendors
    assert (found["tencent"].room, found["tencent"].title.en, found["tencent"].phones) == (
        "console:tx",
        "腾讯云",
        ("+864009100100",),
    )
    assert found["aliyun"].room == "console:ali"


def test_the_files_of_a_folder_are_one_and_a_name_in_two_of_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.yaml").write_text(HEAD)
    (tmp_path / "backend.yml").write_text(ROTA + STEP)
    assert list(load(tmp_path, base=BASE, now=NOW).directory.schedules) == ["backend"]
    (tmp_path / "zz.yaml").write_text(ROTA)
    with pytest.raises(ConfigError, match=r"zz\.yaml:2:3: schedules\.backend: is in .*backend\.yml as well"):
        load(tmp_path, base=BASE, now=NOW)


@pytest.mark.parametrize("name", ["gone.yaml", "empty"])
def test_a_path_that_leads_nowhere_is_named_with_an_example(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"\(paths\.oncall\): .*docs/examples/oncall\.yaml"):
        load(tmp_path / name, base=BASE, now=NOW)


def test_a_calendar_is_a_layer_whose_events_name_people_by_what_it_calls_them(tmp_path: Path) -> None:
    calendar = ROOT / "tests" / "data" / "calendars" / "pagerduty.ics"
    (tmp_path / "pd.ics").write_bytes(calendar.read_bytes())
    text = "people: {lin: {}, weber: {also: Ana Weber}}\nschedules: {backend: {layers: [{name: pd, ical: pd.ics}]}}\n"
    (tmp_path / "x.yaml").write_text(text)
    found = load(tmp_path / "x.yaml", base=BASE, now=NOW)
    schedule = found.directory.schedules["backend"]
    assert isinstance(schedule.layers[0], Listed)
    shift = on_call(schedule, datetime(2026, 1, 20, tzinfo=UTC))
    assert shift is not None
    assert (shift.person, shift.layer) == ("weber", "pd")
    assert "the last event of" in found.notes[0]
    (tmp_path / "x.yaml").write_text(text.replace("weber: {also: Ana Weber}", "chen: {}"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, base=BASE, now=NOW)
    assert "x.yaml:2:43: schedules.backend.layers.0.ical: " in str(refused.value)
    assert 'event "On Call - Ana Weber - Backend" on 2026-01-19 names nobody known' in str(refused.value)


def test_what_is_allowed_and_surprises_at_night_is_noted() -> None:
    text = (
        "people: {lin: {}}\nschedules:\n"
        "  office: {layers: [{people: lin, every: 1d, start: 2026-01-05, only: mon-fri 09:00-18:00}]}\n"
        "  spare: {layers: [{people: lin, start: 2026-01-05}]}\n"
        "vendors: {tencent: {}}\n"
        "policies: {default: {steps: [{who: schedule:office}, {who: vendor:tencent}]}}\n"
    )
    assert loaded(text).notes == (
        (
            "schedule office: nobody is on call from 2026-01-15 20:00 to 2026-01-16 09:00 CST and 64 more times "
            "within 90 days"
        ),
        "policy default: phones people without a number: lin",
        "policy default: asks vendor tencent, which has neither people: nor phones:",
        "schedule spare: no policy asks it",
    )


def test_the_example_is_whole_and_fits_the_schema_for_editors() -> None:
    path = ROOT / "docs" / "examples" / "oncall.yaml"
    found = load(path, base=BASE, now=NOW)
    assert found.notes == ()
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    for layer in (layer for s in document["schedules"].values() for layer in s["layers"]):
        layer["start"] = str(layer["start"])
    jsonschema.Draft202012Validator(schema()).validate(document)
