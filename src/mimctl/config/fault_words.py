"""Words of a file of faults that have a form of their own: when something happens, and what it befalls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from mimctl.config.quoting import quoted
from mimctl.config.units import DURATION, PERCENT
from mimctl.config.words import Word, refused


@dataclass(frozen=True, slots=True)
class Moment(Word):
    """An instant of a run: `10 min` after its start, or a date and time in UTC."""

    offset_s: float | None = None
    utc: datetime | None = None
    takes: ClassVar[str] = "`10 min` after the start, or a time in UTC like `2026-01-05T08:30:00`"
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": [DURATION.example, "2026-01-05T08:30:00"]}

    def after(self, start: datetime) -> float:
        """Seconds after the start of the run, negative before it."""
        return self.offset_s if self.offset_s is not None else ((self.utc or start) - start).total_seconds()

    @classmethod
    def read(cls, given: Any) -> Self:
        """Either spelling.

        Raises:
            PydanticCustomError: it is neither.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, int | float) and not isinstance(given, bool):
            raise refused("quantity.no_unit", f"{given} has no unit: write '{given} s'")
        text = str(given).strip()
        if not isinstance(given, str) or not text:
            raise refused("value.type", "must be a time after the start like '10 min', or a time in UTC like '2026-01-05T08:30:00'")
        if "-" in text[1:]:
            return cls(utc=_utc(text))
        try:
            return cls(offset_s=DURATION.parse(text))
        except ValueError as error:
            raise refused("quantity.unit", str(error)) from None


def _utc(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise refused("value.invalid", f"{quoted(text)} is not a time; write it like '2026-01-05T08:30:00' (UTC)") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Targets(Word):
    """What a fault befalls: ids, or a share of all of them drawn by the seed of the run."""

    ids: tuple[str, ...] = ()
    share: float | None = None
    takes: ClassVar[str] = "an id, a list of ids, or a share of all like `30 %`, drawn by the seed"
    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
    }

    @classmethod
    def read(cls, given: Any) -> Self:
        """Any of the three forms.

        Raises:
            PydanticCustomError: it is none of them.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str) and given.strip().endswith("%"):
            return cls(share=cls._share(given))
        ids = [given] if isinstance(given, str) else given
        if not isinstance(ids, list) or not ids or not all(isinstance(name, str) and name for name in ids):
            raise refused("value.type", "must be an id, a list of ids, or a share of all like '30 %'")
        return cls(tuple(dict.fromkeys(ids)))

    @staticmethod
    def _share(text: str) -> float:
        try:
            share_pct = PERCENT.parse(text)
        except ValueError as error:
            raise refused("quantity.unit", str(error)) from None
        if not 0 < share_pct <= 100:
            raise refused("value.range", f"must be more than 0 % and at most 100 %, it is {quoted(text)}")
        return share_pct / 100
