"""Arrays made light enough to be kept by the thousand: half their bytes, and none where nothing has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mimctl.model.layout import frozen

AnyArray = npt.NDArray[Any]

_LIGHTER = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64, np.dtype(np.int64): np.int32}
_WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.complex64): np.complex128, np.dtype(np.int32): np.int64}


def light(array: AnyArray, before: AnyArray | None = None) -> AnyArray:
    """The array in half its bytes; `before` itself where nothing has changed."""
    small = array.astype(_LIGHTER.get(array.dtype, array.dtype))
    if before is not None and before.shape == small.shape and before.dtype == small.dtype and before.tobytes() == small.tobytes():
        return before
    return frozen(small)


def wide(array: AnyArray) -> AnyArray:
    """A light array as the solver takes it."""
    kind = _WIDER.get(array.dtype)
    return array if kind is None else frozen(array.astype(kind))


def _light_value(value: Any, before: Any) -> Any:
    """An array, or a dataclass or tuple with arrays in it, made light; everything else as it is."""
    if isinstance(value, np.ndarray):
        return light(value, before if isinstance(before, np.ndarray) else None)
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value), light_fields(value, before[1] if isinstance(before, tuple) and len(before) == 2 else {}))
    if isinstance(value, tuple) and value == before:
        return before
    return value


def light_fields(value: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass, each light; what is as in `before` is that very object."""
    kind: Any = type(value)
    return {name: _light_value(getattr(value, name), before.get(name)) for name in _names(kind)}


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(f.name for f in fields(kind))


def wide_value(value: Any) -> Any:
    """What `light_fields` made of a field, as it was."""
    if isinstance(value, np.ndarray):
        return wide(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type):
        return value[0](**{name: wide_value(part) for name, part in value[1].items()})
    return value


def same(array: AnyArray, before: AnyArray | None) -> Any:
    """The array, or the one before where they are equal."""
    return before if before is not None and before.tobytes() == array.tobytes() else array


def arrays_in(parts: Mapping[str, Any]) -> Iterator[AnyArray]:
    """Every array among fields made light."""
    for value in parts.values():
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type):
            yield from arrays_in(value[1])
