"""Why something was done: every write, clamp and refusal carries one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code for machines and one sentence for people.

    Args:
        code: dotted lower-case identifier, stable over versions, for example `limit.port_rating`.
        text: a sentence with the figures in it.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]"
