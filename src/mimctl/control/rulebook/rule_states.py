"""How a rule stands: for people who ask."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.control.rulebook.rule_conditions import Answer


@dataclass(frozen=True, slots=True)
class RuleState:
    """How one rule of one zone stands.

    Args:
        where: what of its place is in this zone.
        open: its window is.
        condition: None where it has none.
        value: of the condition's quantity, NaN = not known.
        in_force: of balance rules, the one that is taken.
    """

    id: str
    kind: str
    where: tuple[str, ...]
    open: bool
    condition: Answer | None
    value: float
    in_force: bool
