"""Plain data against a pydantic model, with problems in our own words at our own paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mimctl.config.annotations import known_keys, models_at, spellings
from mimctl.config.quoting import tidy
from mimctl.config.source import Document
from mimctl.config.wording import Finding, Loc, closest, did_you_mean, kind_of, one_of, worded
from mimctl.model.problem import Problem, error

__all__ = ["did_you_mean", "one_of", "path_of", "place", "problems_of", "validate"]

M = TypeVar("M", bound=BaseModel)

#: codes whose place is the key, not the value
_AT_KEY = frozenset({"key.unknown"})
#: how pydantic marks that the key of a mapping is wrong, not its value
_KEY_ITSELF = "[key]"


def validate(document: Document, model: type[M]) -> tuple[M | None, list[Problem]]:
    """Read a document as `model`.

    Returns:
        The model, None where the data do not fit; and every problem, placed in the file.
    """
    if document.data is None:
        return None, []
    if not isinstance(document.data, dict):
        whole = error("value.type", "", f"the file must be a mapping of keys to values, it is {kind_of(document.data)}")
        return None, place(document, [whole])
    try:
        return model.model_validate(document.data), []
    except ValidationError as exc:
        problems = problems_of(exc, document.data, model)
        return None, place(document, problems)


def problems_of(exc: ValidationError, data: Any, model: type[BaseModel]) -> list[Problem]:
    """A pydantic error as problems without a file; one per path, in the order found."""
    found: dict[str, Problem] = {}
    meant: set[str] = set()
    for detail in exc.errors(include_url=False):
        kind, ctx = detail["type"], detail.get("ctx", {})
        loc = loc_in_data(detail["loc"], data, kind, model)
        value = loc[-1] if loc and detail["loc"][-1] == _KEY_ITSELF else _at(data, loc)
        problem = worded(Finding(model, kind, ctx, detail["msg"], loc, path_of(loc), value))
        found.setdefault(problem.path, problem)
        if kind == "extra_forbidden" and (near := meant_key(loc, model)):
            meant.add(path_of((*loc[:-1], _field_of(near, loc, model))))
    # a misspelt key is one mistake: do not say as well that the right one is missing
    return [p for p in found.values() if p.code != "key.missing" or p.path not in meant]


def place(document: Document, problems: Iterable[Problem]) -> list[Problem]:
    """The same problems with file, line and column."""
    file = str(document.path)
    return [p if p.line else tidy(p).at(file, *document.locate(p.path, key=p.code in _AT_KEY)) for p in problems]


def meant_key(loc: Loc, model: type[BaseModel]) -> str | None:
    """The key that an unknown key at `loc` was probably meant to be."""
    return closest(loc[-1], known_keys(model, loc[:-1]))


def _field_of(key: str, loc: Loc, model: type[BaseModel]) -> str:
    return next((spellings(owner)[key] for owner in models_at(model, loc[:-1]) if key in spellings(owner)), key)


def path_of(loc: Sequence[str | int]) -> str:
    """`("mims", 2, "ports", 0)` → `mims[2].ports[0]`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def loc_in_data(loc: Loc, data: Any, kind: str, model: type[BaseModel]) -> Loc:
    """Pydantic's location without union tags and the names of validators, and with the spelling that the file has."""
    steps: list[str | int] = []
    here = data
    for i, given in enumerate(loc):
        step = given
        if isinstance(here, dict) and isinstance(step, str) and step not in here:
            step = _spelt_as(model, steps, step, here)
        in_mapping = isinstance(here, dict) and isinstance(step, str) and step in here
        if in_mapping or (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            here = here[step]
            steps.append(step)
        elif i == len(loc) - 1 and kind == "missing":
            steps.append(step)
    return tuple(steps)


def _spelt_as(model: type[BaseModel], loc: Sequence[str | int], field: str, data: dict[str, Any]) -> str:
    for owner in models_at(model, loc):
        for key, filled in spellings(owner).items():
            if filled == field and key in data:
                return key
    return field


def _at(data: Any, loc: Sequence[str | int]) -> Any:
    for step in loc:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data
