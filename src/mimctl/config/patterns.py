"""The forms that texts in files have, each with what to say of a text that has another: no message shows a pattern."""

from __future__ import annotations

from mimctl.config.quoting import CONTROL

ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
ORDER = r"^([2-9]|[1-9][0-9])$"
PRINTABLE = rf"^[^{CONTROL}]*$"
HEX = r"^[0-9a-fA-F\s]+$"
PROFILE_ID = r"^[a-z0-9_\-]+/[a-z0-9_\-]+$"
INSTANCE = r"^[a-z][a-z_]*$"

_WORDS = {
    ID: "is not an id: letters, digits, '.', '_' and '-', a letter or digit first",
    TIME_OF_DAY: "is not a time of day: HH:MM, like 06:00",
    ORDER: "is not a harmonic order: a whole number from 2 to 99",
    PRINTABLE: "holds control characters; leave them out",
    HEX: "is not registers in hexadecimal: digits, letters a to f and spaces",
    PROFILE_ID: "is not vendor/model in small letters, digits, '_' and '-'",
    INSTANCE: "is not a name of small letters and '_', a letter first",
}


def objection(pattern: str) -> str | None:
    """What to say of a text that does not fit, to follow the text itself; None for a pattern that has no words here."""
    return _WORDS.get(pattern)
