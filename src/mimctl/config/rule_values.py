"""Values of rules in files: figures whose unit another key decides, and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mimctl.config.quoting import quoted
from mimctl.config.units import CURRENT, PERCENT, POWER, Dimension
from mimctl.config.words import Word, refused
from mimctl.model.rules import Watched

_VOLTS = Dimension("a voltage", "_v", {"V": 1, "kV": 1e3}, "210 V")
#: of a condition's figures; J has none
_DIMENSIONS: dict[Watched, Dimension] = {
    Watched.CURRENT: CURRENT,
    Watched.NEUTRAL_CURRENT: CURRENT,
    Watched.ACTIVE_POWER: POWER,
    Watched.VOLTAGE: _VOLTS,
    Watched.THD_V: PERCENT,
    Watched.THD_I: PERCENT,
    Watched.SOC: PERCENT,
    Watched.LOAD: PERCENT,
}


def unit_of(quantity: Watched) -> str:
    """Of what a condition looks at; empty for J."""
    dimension = _DIMENSIONS.get(quantity)
    return "" if dimension is None else dimension.unit


@dataclass(frozen=True, slots=True)
class Amount:
    """A figure of a condition: with its unit, which the quantity decides."""

    value: float
    #: for the reference page
    takes: ClassVar[str] = "`40 A`, `5 kW`, `210 V`, `90 %`, by the quantity; a bare number for `imbalance`"

    @classmethod
    def read(cls, given: Any, info: core_schema.ValidationInfo) -> Amount:
        """By the quantity that stands beside it.

        Raises:
            PydanticCustomError: it is none of that quantity.
        """
        if isinstance(given, Amount):
            return given
        quantity = info.data.get("quantity")
        if quantity is None:  # wrong or missing: said there
            return cls(float("nan"))
        dimension = _DIMENSIONS.get(quantity)
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if dimension is None:
            if not number:
                raise refused("value.type", f"must be a number: '{quantity}' has no unit")
            return cls(float(given))
        if number:
            raise refused("quantity.no_unit", f"{given} has no unit: write '{given} {dimension.unit}'")
        try:
            return cls(dimension.parse(str(given)))
        except ValueError as error:
            raise refused("quantity.unit", str(error)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(cls.read)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": ["40 A", "90 %"]}, {"type": "number"}]}


@dataclass(frozen=True, slots=True)
class DayOfYear(Word):
    """A date."""

    value: date
    takes: ClassVar[str] = "a date like `2026-03-01`"
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date", "examples": ["2026-03-01"]}

    @classmethod
    def read(cls, given: Any) -> Self:
        """From text.

        Raises:
            PydanticCustomError: it is no date.
        """
        if isinstance(given, cls):
            return given
        try:
            return cls(date.fromisoformat(given))
        except (ValueError, TypeError):
            what = quoted(given) if isinstance(given, str) else str(given)
            raise refused("value.invalid", f"{what} is not a date; write it like '2026-03-01'") from None
