"""The forms that texts in files have, each with what a person calls it: messages never show a regular expression."""

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
    ID: "an id: letters, digits, '.', '_' and '-', a letter or digit first",
    TIME_OF_DAY: "a time of day: HH:MM, like 06:00",
    ORDER: "a harmonic order: a whole number from 2 to 99",
    PRINTABLE: "a text without control characters",
    HEX: "registers in hexadecimal: digits, letters a to f and spaces",
    PROFILE_ID: "vendor/model in small letters, digits, '_' and '-'",
    INSTANCE: "a name of small letters and '_', a letter first",
}


def form_of(pattern: str) -> str | None:
    """What a text of this pattern is called; None for a pattern that has no words here."""
    return _WORDS.get(pattern)
