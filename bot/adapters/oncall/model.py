"""An on-call file's YAML as strict models. What names something else in the file is checked in `files`."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bot.adapters.oncall.words import Name, Never, Phone, Span, clock, every, handover, target, window, zone
from bot.domain.escalation import Target, Way
from bot.domain.schedule import Unit
from bot.domain.wallclock import Window
from bot.yamlfile.words import Bilingual, Listed, Strict, YesNo

Zone = Annotated[ZoneInfo, BeforeValidator(zone, json_schema_input_type=str)]
Handover = Annotated[tuple[int | None, time], BeforeValidator(handover, json_schema_input_type=str)]
Every = Annotated[tuple[int, Unit], BeforeValidator(every, json_schema_input_type=str)]
Windows = Annotated[
    list[Annotated[Window, BeforeValidator(window, json_schema_input_type=str)]],
    Listed(),
]
Targets = Annotated[
    list[Annotated[Target, BeforeValidator(target, json_schema_input_type=str)]],
    Listed(),
]
Clock = Annotated[time, BeforeValidator(lambda word: clock(str(word)), json_schema_input_type=str)]
Ways = Annotated[list[Way], Listed()]
People = Annotated[list[str], Listed()]


class Loose(BaseModel):
    """As `Strict`, for values of our own that pydantic does not know."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True, arbitrary_types_allowed=True)


class PersonModel(Strict):
    """Somebody who can be asked."""

    phone: Phone = Field(default="", description='E.164 in quotes: "+8613800000001"')
    language: Literal["zh", "en"] | None = None
    slack: str = Field(default="", description="member id, such as U01ABCDEF")
    wecom: str = Field(default="", description="userid")
    email: str = Field(default="", description="finds their chat accounts where those are not named")
    role: Literal["", "viewer", "responder", "commander", "admin"] = Field(default="", description="what they may do")
    also: People = Field(default=[], description="what calendars call this person: a full name, an e-mail address")


class LayerModel(Loose):
    """A rotation, or a calendar file; later layers are stronger."""

    name: str = ""
    people: People = Field(default=[], description="in the order of their turns")
    every: Every = Field(default=(1, "weeks"), description='how long a turn is: "12h", "1d", "1w", "2w"')
    handover: Handover = Field(default=(None, time(9)), description='"monday 10:00" or "10:00", on the wall clock')
    start: date | None = Field(
        default=None,
        ge=date(2000, 1, 1),
        lt=date(2100, 1, 1),
        description="the day on which the first person's first turn begins",
    )
    timezone: Zone | None = Field(default=None, description="IANA name; without it the schedule's")
    only: Windows = Field(default=[], description='when it counts: "mon-fri 09:00-18:00", "22:00-06:00", "sat,sun"')
    ical: str = Field(default="", description="a calendar file beside this one, whose events name who is on call")

    @model_validator(mode="after")
    def _one_kind(self) -> LayerModel:
        if bool(self.people) == bool(self.ical):
            raise ValueError("a layer has either people: (a rotation) or ical: (a calendar file)")
        if self.people and self.start is None:
            raise ValueError("start: is missing; name the day of the first turn, such as 2026-01-05")
        if self.ical and self.model_fields_set - {"name", "ical", "timezone"}:
            raise ValueError(
                "a layer with ical: takes its turns from the calendar; only name: and timezone: go with it"
            )
        if self.handover[0] is not None and self.every[1] != "weeks":
            raise ValueError('handover: names a weekday, but turns are not weeks; write "09:00", or every: 1w')
        return self


class ScheduleModel(Loose):
    """Layers; where one names nobody, the layer above it in the file does."""

    timezone: Zone | None = None
    layers: list[LayerModel] = Field(min_length=1)


class StepModel(Loose):
    """Whom to reach, how, and how long after the step before."""

    after: Span = Field(default=timedelta(0))
    who: Targets = Field(min_length=1, description="person:NAME, schedule:NAME, vendor:NAME or role:NAME")
    by: Ways = Field(default=[Way.CHAT, Way.PHONE], min_length=1)


class QuietModel(Loose):
    """When low severities are not phoned."""

    start: Clock = Field(alias="from")
    until: Clock
    timezone: Zone | None = None
    severities: Annotated[list[str], Listed()] = ["sev3", "sev4"]


class PolicyModel(Loose):
    """Steps, gone through `rounds` times, then another policy."""

    steps: list[StepModel]
    rounds: int = Field(default=1, ge=1, le=20)
    every: Span = Field(default=timedelta(minutes=5), description="from the last step to the next round or level")
    then: str = ""
    exhausted: Literal["again", "stop"] = Field(
        default="again", description="after the last round of the last level: sev1 and sev2 start it again, or nobody"
    )
    quiet: QuietModel | None = None

    @model_validator(mode="after")
    def _some_step(self) -> PolicyModel:
        if not self.steps:
            raise ValueError("steps: is empty, so nobody would be called; add one such as {who: schedule:NAME}")
        return self


class VendorModel(Strict):
    """Another company: its people, lines, room and support plan."""

    title: Bilingual | None = None
    people: dict[Name, PersonModel] = {}
    phones: Annotated[list[Phone], Listed()] = []
    room: str = Field(default="", description='key of the room with its people, such as "slack:C012345"')
    plan: str = ""
    ticket_url: str = Field(default="", pattern=r"^(https?://\S+)?$")


class SeverityModel(Strict):
    """What a severity triggers; what is left out stays as it is by default."""

    policy: str = ""
    remind: Never = Field(default=None, description='how often an update is asked for: "30m", "off"')
    unack: Never = Field(
        default=None, description='when an acknowledgement without a word counts no longer: "30m", "off"'
    )
    commander: Never = Field(default=None, description='how long until a commander is asked for: "10m", "off"')
    room: YesNo = False
    page: YesNo = True


class FileModel(Loose):
    """Who can be asked, when, and in which order."""

    people: dict[Name, PersonModel] = {}
    schedules: dict[Name, ScheduleModel] = {}
    policies: dict[Name, PolicyModel] = {}
    vendors: dict[Name, VendorModel] = {}
    severities: dict[Name, SeverityModel] = {}


def schema() -> dict[str, Any]:
    """The JSON Schema, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FileModel.model_json_schema(by_alias=True),
        "title": "Warroom on-call",
    }
