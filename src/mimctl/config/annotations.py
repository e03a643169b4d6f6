"""Which model or type stands at a place of a document: for naming the keys and the words that would fit there."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel

Model = type[BaseModel]


def known_keys(model: Model, loc: Sequence[str | int]) -> list[str]:
    """Every key that the mapping at `loc` may have."""
    keys: list[str] = []
    for owner in models_at(model, loc):
        keys += owner.model_fields
        keys += [f.alias for f in owner.model_fields.values() if f.alias]
        keys += spellings(owner)
    return keys


def choices(model: Model, loc: Sequence[str | int]) -> list[str]:
    """The words of the enumeration at `loc`, none if there is no enumeration."""
    for annotation in annotations_at(model, loc):
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return [str(member.value) for member in annotation]
        if typing.get_origin(annotation) is Literal:
            return [str(a) for a in typing.get_args(annotation)]
    return []


def models_at(model: Model, loc: Sequence[str | int]) -> list[Model]:
    return [a for a in annotations_at(model, loc) if isinstance(a, type) and issubclass(a, BaseModel)]


def annotations_at(model: Model, loc: Sequence[str | int]) -> list[Any]:
    """Every annotation that a location may stand under, unions opened."""
    here: list[Any] = [model]
    for step in loc:
        here = [a for annotation in here for opened in _step(annotation, step) for a in _open(opened)]
    return here


def spellings(model: Model) -> dict[str, str]:
    """Other keys of a model, each with the field it fills (a quantity may be spelt with or without its unit)."""
    found: dict[str, str] = getattr(model, "spellings", dict)()
    return found


def _step(annotation: Any, step: str | int) -> Iterator[Any]:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        name = spellings(annotation).get(str(step), str(step))
        field = fields.get(name) or next((f for f in fields.values() if f.alias == step), None)
        if field is not None:
            yield field.annotation
    elif origin is dict and isinstance(step, str) and len(args) == 2:
        yield args[1]
    elif origin in {list, tuple} and isinstance(step, int) and args:
        yield args[0] if origin is list or len(args) <= step or args[-1] is Ellipsis else args[step]


def _open(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from _open(typing.get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for arm in typing.get_args(annotation):
            yield from _open(arm)
    else:
        yield annotation
