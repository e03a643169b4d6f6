"""Quantities in files: text with its unit (`rating: 16 A`) or a bare number at the unit-suffixed key (`rating_a: 16`).

A model field is declared once, by its suffixed name and its dimension; `Record` derives the other spelling, reads both, refuses
everything that could be misread, and shows both in the JSON Schema:

    class Breaker(Record):
        rating_a: Annotated[float, CURRENT]
"""

from __future__ import annotations

import math
import re
import typing
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from mimctl.config.quoting import quoted
from mimctl.config.words import refused

_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*(\S.*)?\Z")

#: signs that keyboards give for Ω and µ: the ohm sign and the Greek mu
_LOOKALIKES = {0x2126: "Ω", 0x03BC: "µ"}


@dataclass(frozen=True, eq=False)
class Dimension:
    """A physical dimension as files write it.

    Args:
        name: for messages, `a current`.
        suffix: of the key that takes bare numbers, `_a`.
        units: every accepted unit with its factor to the unit of the suffix; the first one is that unit itself.
        example: a text that is right.
    """

    name: str
    suffix: str
    units: dict[str, float]
    example: str

    @property
    def unit(self) -> str:
        return next(iter(self.units))

    def parse(self, text: str) -> float:
        """The value of a text such as `0.5 mΩ`, in the unit of the suffix.

        Raises:
            ValueError: with what is wrong and how to write it.
        """
        match = _QUANTITY.match(text.strip().translate(_LOOKALIKES))
        if match is None or "," in text:
            comma = "; the decimal sign is a point" if "," in text else ""
            raise ValueError(f"{quoted(text)} is not {self.name}{comma}; write it like '{self.example}'")
        number, unit = match.groups()
        if unit is None:
            raise ValueError(f"{quoted(text)} has no unit; write it like '{self.example}'")
        factor = self.units.get(unit)
        if factor is None:
            raise ValueError(self._unit_text(unit))
        value = float(number) * factor
        if not math.isfinite(value):
            raise ValueError(f"{quoted(text)} is too large")
        return value

    def _unit_text(self, unit: str) -> str:
        near = [u for u in self.units if u.lower() == unit.lower()]
        if near:
            return f"the unit is '{near[0]}', not {quoted(unit)} (m is milli, M is mega)"
        other = next((d.name for d in DIMENSIONS if unit in d.units), None)
        what = f"{quoted(unit)} is the unit of {other}" if other else f"unknown unit {quoted(unit)}"
        return f"{what}; {self.name} is in {', '.join(self.units)}, like '{self.example}'"

    def missing_hint(self, field: str) -> str:
        """What to say where neither spelling is there."""
        short = field.removesuffix(self.suffix)
        return f"the key '{short}' is missing; write it like '{short}: {self.example}' or '{field}: …'"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, given: Any) -> Any:
        """The number behind either spelling; a `_Spelt` came from the unsuffixed key."""
        if not isinstance(given, _Spelt):
            if isinstance(given, str):
                text = f"the key ends in {self.suffix}: give a bare number of {self.unit}, or drop the ending and write the unit"
                raise refused("quantity.text_at_suffix", text)
            return given
        if given.twice:
            raise refused("quantity.twice", f"given twice: keep '{given.short}' (with a unit) or '{given.field}' (bare number)")
        return self.spelt(given)

    def spelt(self, given: _Spelt) -> float:
        """The number of a text with unit, or an error that says how to write it."""
        value = given.value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise refused("quantity.form", f"must be {self.name} with its unit, like '{self.example}'")
        if not isinstance(value, str):
            text = f"{value} has no unit: write '{given.short}: {value} {self.unit}' or '{given.field}: {value}'"
            raise refused("quantity.no_unit", text)
        try:
            return self.parse(value)
        except ValueError as exc:
            raise refused("quantity.unit", str(exc)) from None

    def pattern(self) -> str:
        """A regular expression (ECMA dialect) of the texts that `parse` takes."""
        units = "|".join(re.escape(u).replace("\\ ", " ").replace("\\-", "-").replace("\\%", "%") for u in self.units)
        return rf"^\s*{_NUMBER}\s*({units})\s*$"


class SystemVoltage(Dimension):
    """A nominal voltage system: `230/400 V` (line to neutral / line to line), `11 kV LL` or `230 V LN`; read as line to neutral."""

    def parse(self, text: str) -> float:
        pair = re.match(rf"({_NUMBER})\s*/\s*({_NUMBER})\s*(\S+)\Z", text.strip())
        if pair is not None and pair[3] in self.units:
            line_to_neutral, line_to_line = float(pair[1]), float(pair[2])
            if not 0.98 < line_to_line / (line_to_neutral or 1) / math.sqrt(3) < 1.02:
                raise ValueError(f"{quoted(text)}: the second voltage must be √3 times the first, like '{self.example}'")
            return line_to_neutral * self.units[pair[3]]
        number, _, which = text.strip().rpartition(" ")
        if which not in {"LL", "LN"}:
            raise ValueError(f"{quoted(text)}: say which voltage it is: '{self.example}', '11 kV LL' (line to line) or '230 V LN'")
        return super().parse(number) / (math.sqrt(3) if which == "LL" else 1.0)

    def pattern(self) -> str:
        return rf"^\s*{_NUMBER}\s*(/\s*{_NUMBER}\s*(V|kV)|(V|kV)\s+(LL|LN))\s*$"


CURRENT = Dimension("a current", "_a", {"A": 1, "mA": 1e-3, "kA": 1e3}, "16 A")
POWER = Dimension("an active power", "_w", {"W": 1, "kW": 1e3, "MW": 1e6}, "3 kW")
APPARENT_POWER = Dimension("an apparent power", "_va", {"VA": 1, "kVA": 1e3, "MVA": 1e6}, "3 kVA")
REACTIVE_POWER = Dimension(
    "a reactive power", "_var", {"var": 1, "kvar": 1e3, "Mvar": 1e6, "VAr": 1, "kVAr": 1e3, "MVAr": 1e6}, "2 kvar"
)
POWER_RATE = Dimension("a ramp", "_w_per_s", {"W/s": 1, "kW/s": 1e3}, "2 kW/s")
CURRENT_RATE = Dimension("a ramp of a current", "_a_per_s", {"A/s": 1, "mA/s": 1e-3}, "2 A/s")
DURATION = Dimension("a time", "_s", {"s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60, "h": 3600, "d": 86_400}, "2 s")
VOLTAGE = SystemVoltage("a voltage", "_ln_v", {"V": 1, "kV": 1e3}, "230/400 V")
FREQUENCY = Dimension("a frequency", "_hz", {"Hz": 1}, "50 Hz")
RESISTANCE = Dimension("a resistance or reactance", "_ohm", {"ohm": 1, "mohm": 1e-3, "Ω": 1, "mΩ": 1e-3, "µΩ": 1e-6}, "5 mohm")
RESISTANCE_PER_LENGTH = Dimension(
    "a resistance or reactance per length",
    "_ohm",
    {"ohm/km": 1, "mohm/m": 1, "mohm/km": 1e-3, "Ω/km": 1, "mΩ/m": 1, "mΩ/km": 1e-3},
    "0.32 ohm/km",
)
LENGTH = Dimension("a length", "_m", {"m": 1, "km": 1e3}, "40 m")
ENERGY = Dimension("an energy", "_wh", {"Wh": 1, "kWh": 1e3, "MWh": 1e6}, "5 kWh")
PERCENT = Dimension("a share", "_pct", {"%": 1}, "80 %")
PER_POWER = Dimension("a share per power", "_per_va", {"/VA": 1, "/kVA": 1e-3, "%/kVA": 1e-5}, "0.5 %/kVA")

DIMENSIONS = (
    CURRENT, POWER, APPARENT_POWER, REACTIVE_POWER, POWER_RATE, CURRENT_RATE, DURATION, VOLTAGE, FREQUENCY, RESISTANCE,
    RESISTANCE_PER_LENGTH, LENGTH, ENERGY, PERCENT, PER_POWER,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Spelt:
    """What stood at the unsuffixed key of a field, on its way to the field's own validator."""

    short: str
    field: str
    value: Any
    twice: bool = False


@dataclass(frozen=True, eq=False)
class InText:
    """A quantity without a key of its own, in a list or a mapping: always text with its unit."""

    dimension: Dimension

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": self.dimension.pattern(), "examples": [self.dimension.example]}

    def _read(self, given: Any) -> float:
        if isinstance(given, int | float) and not isinstance(given, bool):
            raise refused("quantity.no_unit", f"{given} has no unit: write '{given} {self.dimension.unit}'")
        return self.dimension.spelt(_Spelt("", "", given))


class Record(BaseModel):
    """Base of everything that a file holds: no unknown keys, no guessing of types, both spellings of quantities."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    _spellings: ClassVar[dict[str, str]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._spellings = {name.removesuffix(d.suffix): name for name, d in cls.dimensions().items()}

    @classmethod
    def dimensions(cls) -> dict[str, Dimension]:
        """The fields that are quantities."""
        found = ((name, _dimension_of(field.annotation, field.metadata)) for name, field in cls.model_fields.items())
        return {name: dimension for name, dimension in found if dimension is not None}

    @classmethod
    def spellings(cls) -> dict[str, str]:
        """Unsuffixed key → field."""
        return cls._spellings

    @model_validator(mode="before")
    @classmethod
    def _unspell(cls, data: Any) -> Any:
        if not isinstance(data, dict) or cls._spellings.keys().isdisjoint(data):
            return data
        read: dict[str, Any] = {}
        for key, value in data.items():
            field = cls._spellings.get(key)
            if field is None:
                read.setdefault(key, value)
            elif value is not None:
                read[field] = _Spelt(key, field, value, field in data)
        return read

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        shown = handler.resolve_ref_schema(handler(schema))
        _show_both(shown, cls.dimensions())
        return shown


def _dimension_of(annotation: Any, metadata: typing.Sequence[Any] = ()) -> Dimension | None:
    """The dimension in `Annotated[float, CURRENT]`, also inside `| None`."""
    for meta in metadata:
        if isinstance(meta, Dimension):
            return meta
    if typing.get_origin(annotation) is Annotated:
        inner, *rest = typing.get_args(annotation)
        return _dimension_of(inner, rest)
    for arm in typing.get_args(annotation):
        if (found := _dimension_of(arm)) is not None:
            return found
    return None


def _show_both(schema: dict[str, Any], dimensions: dict[str, Dimension]) -> None:
    """Add the unsuffixed spelling of every quantity to an object schema; exactly one (or at most one) of the two may stand."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    rules: list[dict[str, Any]] = []
    for field, dimension in dimensions.items():
        short, bare = field.removesuffix(dimension.suffix), properties.get(field)
        if bare is None:
            continue
        text = {"type": "string", "pattern": dimension.pattern(), "examples": [dimension.example]}
        described = {"description": f"{bare['description']} With its unit."} if "description" in bare else {}
        properties[short] = described | text
        if "description" in bare:
            bare["description"] += f" Bare number of {dimension.unit}."
        both = {"required": [short, field]}
        if field in required:
            required.remove(field)
            rules.append({"oneOf": [{"required": [short]}, {"required": [field]}]})
        else:
            rules.append({"not": both})
    if rules:
        schema["allOf"] = schema.get("allOf", []) + rules
    if not required:
        schema.pop("required", None)
