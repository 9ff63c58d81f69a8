"""The small types that files are written in: durations, yes and no, lists, text in two languages."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from bot.domain.text import Text

DURATION = r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*$"


def in_seconds(value: Any) -> Any:
    """Accept 5, 5.0, "5s", "500ms", "24h"."""
    if isinstance(value, str):
        match = re.match(DURATION, value)
        if not match:
            raise ValueError('must be a duration such as "5s", "500ms" or "24h"')
        return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]
    return value


def _yes_no(value: Any) -> Any:
    """YAML 1.2 reads `no` and `yes` as words; people mean booleans."""
    return {"no": False, "yes": True}.get(value, value) if isinstance(value, str) else value


class Listed:
    """Marks a list that may be written as its one item; the JSON Schema for editors says so too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many, many["items"]]}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _both(value: Any) -> Any:
    """A title that is the same in both languages may be plain text."""
    return {"zh": value, "en": value} if isinstance(value, str) else value


Written = float | Annotated[str, Field(pattern=DURATION)]
Seconds = Annotated[float, BeforeValidator(in_seconds, json_schema_input_type=Written), Field(gt=0, le=86400)]
YesNo = Annotated[bool, BeforeValidator(_yes_no, json_schema_input_type=bool | Literal["yes", "no"])]


class Strict(BaseModel):
    """Unknown keys are errors: a typo must not be a default."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class TextModel(Strict):
    """Text in both languages."""

    zh: str
    en: str

    def text(self) -> Text:
        """The domain's value."""
        return Text(zh=self.zh, en=self.en)


Bilingual = Annotated[TextModel, BeforeValidator(_both, json_schema_input_type=TextModel | str)]
Names = Annotated[list[str], Listed()]
