"""What people write into leases: one line that a terminal and a log can show as it is."""

from __future__ import annotations

from mimctl.model.errors import UserError

#: characters
OWNER_MOST, REASON_MOST = 80, 300


def check_line(what: str, text: str, most: int) -> None:
    """Refuse what is no short line.

    Args:
        what: `owner` or `reason`.
        most: characters.

    Raises:
        UserError: with what is wrong with it.
    """
    if not text.isprintable():
        odd = next(character for character in text if not character.isprintable())
        raise UserError(f"{what} is one line of printable text; character {text.index(odd) + 1} is {odd!a}")
    if len(text) > most:
        raise UserError(f"{what} is at most {most} characters long, not {len(text)}")


def as_line(text: str, most: int) -> str:
    """The same as a short line: nobody's stop fails for its wording."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
