"""What every fault of a scenario has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from bot.lab.netns.effects import Effects
from bot.lab.netns.layout import Layout, VpcPlace
from bot.lab.netns.values import Moment, Name, Strict

Services = Annotated[list[Name], Field(min_length=1, description="keys under services:, or hosts of controls")]
Somewhere = Name | None


class FaultModel(Strict):
    """Physical, never a verdict. `start` 0 is in place before the command; without `end` it stays."""

    start: Moment = 0
    end: Moment | None = None

    @abstractmethod
    def effects(self, layout: Layout) -> Effects:
        """What it changes in this world. Pure; raises LookupError for a place that is not in it."""


class AtRegion(FaultModel):
    """A fault of a whole region, or of one VPC."""

    region: Somewhere = None
    vpc: Somewhere = None

    def vpcs(self, layout: Layout) -> Sequence[VpcPlace]:
        """Where it acts. Raises LookupError."""
        if not (self.region or self.vpc):
            raise LookupError("name a region or a vpc")
        return layout.within(region=self.region or "", vpc=self.vpc or "")
