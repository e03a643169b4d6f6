"""SunSpec model definitions and their layout: which point stands at which offset of one instance of a model.

The definitions come with pysunspec2; vendor models lie in `device_profiles/sunspec/models` and are looked up first. Files are
opened by full path, so that a stray `model_701.json` in the working directory changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimctl.model.profile import PointSpec, PointType
from mimctl.model.resources import data_root

Definition = Mapping[str, Any]

#: SunSpec type → stored type and its “not implemented” values. An accumulator may honestly stand at 0, which the
#: specification calls “not implemented”; all ones is what devices show that follow it for unsigned numbers there too.
#: Reference: SunSpec Device Information Model Specification 1.1, data types.
_TYPES: dict[str, tuple[PointType, tuple[int, ...]]] = {
    "int16": (PointType.INT16, (-(1 << 15),)),
    "int32": (PointType.INT32, (-(1 << 31),)),
    "int64": (PointType.INT64, (-(1 << 63),)),
    "uint16": (PointType.UINT16, (0xFFFF,)),
    "uint32": (PointType.UINT32, (0xFFFF_FFFF,)),
    "uint64": (PointType.UINT64, (0xFFFF_FFFF_FFFF_FFFF,)),
    "raw16": (PointType.UINT16, ()),
    "count": (PointType.UINT16, (0xFFFF,)),
    "acc16": (PointType.UINT16, ()),
    "acc32": (PointType.UINT32, (0xFFFF_FFFF,)),
    "acc64": (PointType.UINT64, (0xFFFF_FFFF_FFFF_FFFF,)),
    "enum16": (PointType.ENUM16, (0xFFFF,)),
    "enum32": (PointType.ENUM32, (0xFFFF_FFFF,)),
    "bitfield16": (PointType.BITFIELD16, (0xFFFF,)),
    "bitfield32": (PointType.BITFIELD32, (0xFFFF_FFFF,)),
    "bitfield64": (PointType.BITFIELD64, (0xFFFF_FFFF_FFFF_FFFF,)),
    "sunssf": (PointType.INT16, (-(1 << 15),)),
    "float32": (PointType.FLOAT32, ()),
    "float64": (PointType.FLOAT64, ()),
    "ipaddr": (PointType.UINT32, (0,)),
    "ipv6addr": (PointType.HEX, ()),
    "eui48": (PointType.HEX, ()),
    "string": (PointType.STRING, ()),
}


def model_directories() -> list[Path]:
    """Where definitions are looked up, first match wins."""
    own = data_root() / "device_profiles" / "sunspec" / "models"
    package = find_spec("sunspec2")  # found, not imported: its files are data here
    places = package.submodule_search_locations if package is not None else None
    return [own, *(Path(place) / "models" / "json" for place in places or ())]


@cache
def definition_of(model_id: int) -> Definition | None:
    """The definition of a model, None for a vendor model that nobody described."""
    for directory in model_directories():
        path = directory / f"model_{model_id}.json"
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                loaded: Definition = json.load(file)
            return loaded
    return None


@cache
def vendor_model_id(name: str) -> int:
    """The id of the vendor model whose group has this name. The definition file alone says the number.

    Raises:
        LookupError: no definition beside the device profiles has that name.
    """
    for path in sorted(model_directories()[0].glob("model_*.json")):
        definition = definition_of(int(path.stem.removeprefix("model_")))
        if definition is not None and definition["group"]["name"] == name:
            return int(definition["id"])
    raise LookupError(f"no SunSpec model named {name} in {model_directories()[0]}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One point of one model instance.

    Args:
        path: `W`, `Cmt.Ena`, `Ph[0].W`: groups that repeat have an index.
        offset: registers from the model's ID.
        scale: fixed exponent, or the offset of the register that holds it.
    """

    path: str
    offset: int
    size: int
    definition: Mapping[str, Any]
    exponent: int = 0
    scale_offset: int | None = None
    scale_static: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(slots=True)
class _Cursor:
    offset: int
    limit: int
    counts: Mapping[str, int]
    top: dict[str, tuple[int, bool]]


def leaves(definition: Definition, length: int, counts: Mapping[str, int]) -> list[Leaf]:
    """Every point of an instance of `length` registers (L), in order.

    A device that gives more than the definition has a tail that is ignored; one that gives less lacks the last points, and those
    whose scale factor is among them. Groups are built only as far as the length reaches, whatever a count register says.

    Args:
        counts: values of the count points that repeated groups name.
    """
    group = definition["group"]
    top = dict(_offsets(group["points"], 0))
    cursor = _Cursor(0, length + 2, counts, top)
    end = length + 2
    # behind the end stands another model: what is there is nobody's scale factor
    return [leaf for leaf in _group(group, "", cursor) if leaf.scale_offset is None or leaf.scale_offset < end]


def prefix_registers(definition: Definition) -> int:
    """Registers of the model's own points, ID and L included: what stands before its first group."""
    return sum(int(p["size"]) for p in definition["group"]["points"])


def count_names(definition: Definition) -> set[str]:
    """The points that say how often a group repeats."""
    names: set[str] = set()
    waiting = [definition["group"]]
    while waiting:
        group = waiting.pop()
        if isinstance(group.get("count"), str):
            names.add(group["count"])
        waiting += group.get("groups", [])
    return names


def point_spec(leaf: Leaf, key: str, address: int) -> PointSpec | None:
    """A leaf of a model that starts at `address` as a point; None for pads."""
    if leaf.definition["type"] not in _TYPES:
        return None
    kind, sentinels = _TYPES[leaf.definition["type"]]
    return PointSpec(
        key=key,
        address=address + leaf.offset,
        type=kind,
        count=leaf.size if kind.is_text else 0,
        scale=10.0**leaf.exponent,
        scale_address=None if leaf.scale_offset is None else address + leaf.scale_offset,
        scale_static=leaf.scale_static,
        sentinels=sentinels,
        unit=leaf.definition.get("units", ""),
        static=leaf.definition.get("static") == "S",
        writable=leaf.definition.get("access") == "RW",
    )


def _offsets(points: list[Mapping[str, Any]], start: int) -> Iterator[tuple[str, tuple[int, bool]]]:
    """Offset of each point, and whether it is static."""
    for point in points:
        yield point["name"], (start, point.get("static") == "S")
        start += int(point["size"])


def _group(group: Mapping[str, Any], prefix: str, cursor: _Cursor) -> Iterator[Leaf]:
    own = dict(_offsets(group["points"], cursor.offset))
    for point in group["points"]:
        leaf = _leaf(point, prefix, cursor, own)
        cursor.offset = leaf.end
        if leaf.end <= cursor.limit:
            yield leaf
    for inner in group.get("groups", []):
        yield from _repeated(inner, prefix, cursor)


def _repeated(group: Mapping[str, Any], prefix: str, cursor: _Cursor) -> Iterator[Leaf]:
    count = group.get("count")
    if count is None:
        yield from _group(group, f"{prefix}{group['name']}.", cursor)
        return
    times = cursor.counts.get(count, 0) if isinstance(count, str) else int(count) or _as_many_as_fit(group, cursor)
    for index in range(times):
        if cursor.offset >= cursor.limit:
            return
        yield from _group(group, f"{prefix}{group['name']}[{index}].", cursor)


def _as_many_as_fit(group: Mapping[str, Any], cursor: _Cursor) -> int:
    """Legacy models do not count: the rest of the length is the group, over and over."""
    size = sum(int(p["size"]) for p in group["points"])
    return (cursor.limit - cursor.offset) // size if size else 0


def _leaf(point: Mapping[str, Any], prefix: str, cursor: _Cursor, own: Mapping[str, tuple[int, bool]]) -> Leaf:
    leaf = Leaf(prefix + point["name"], cursor.offset, int(point["size"]), point)
    scale = point.get("sf")
    if isinstance(scale, str):
        # a group's own scale factor wins over the model's
        offset, static = own[scale] if scale in own else cursor.top[scale]
        return replace(leaf, scale_offset=offset, scale_static=static)
    return leaf if scale is None else replace(leaf, exponent=int(scale))
