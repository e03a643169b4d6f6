"""Only the judge makes a `SafePlan`: read from the source itself, so that no path around it can creep in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mimctl
from mimctl.model.plan import SafePlan

SOURCE = Path(mimctl.__file__).parent
JUDGE = SOURCE / "safety" / "judge.py"
FILES = sorted(SOURCE.rglob("*.py"))


def _called(function: ast.expr) -> str:
    """The last name of what is called: `SafePlan` for both `SafePlan(…)` and `plan.SafePlan(…)`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _aliases(tree: ast.AST) -> set[str]:
    """Every name under which a file knows the class: imports with `as`, and assignments."""
    names = {"SafePlan"}
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom):
            names |= {a.asname for a in part.names if a.name == "SafePlan" and a.asname}
        elif isinstance(part, ast.Assign) and _called(part.value) in names:
            names |= {t.id for t in part.targets if isinstance(t, ast.Name)}
    return names


def makers(source: str) -> list[int]:
    """Lines that make a `SafePlan`, by calling the class, `replace` on a safe plan, or `__new__`."""
    tree = ast.parse(source)
    aliases, lines = _aliases(tree), []
    for part in ast.walk(tree):
        if not isinstance(part, ast.Call):
            continue
        name = _called(part.func)
        given = {_called(a) for a in part.args}
        copied = name in {"replace", "__new__", "partial", "cast"} and (given & (aliases | {"safe_plan", "safe"}))
        if name in aliases or (copied and name != "cast"):
            lines.append(part.lineno)
    return lines


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_nobody_else_makes_a_safe_plan(file: Path) -> None:
    if file != JUDGE:
        assert makers(file.read_text(encoding="utf-8")) == []


def test_the_judge_does() -> None:
    assert makers(JUDGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "SafePlan(1)",
        "plan.SafePlan(1)",
        "from mimctl.model.plan import SafePlan as S\nS(1)",
        "Q = SafePlan\nQ(1)",
        "replace(safe_plan, send=1)",
        "dataclasses.replace(record.safe_plan, send=1)",
        "object.__new__(SafePlan)",
    ],
)
def test_the_ways_around_are_seen(source: str) -> None:
    assert makers(source)


def test_a_safe_plan_cannot_be_changed() -> None:
    assert SafePlan.__dataclass_params__.frozen  # type: ignore[attr-defined]
