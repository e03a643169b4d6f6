"""Build the registers of a SunSpec device: for servers, and for every test that needs a device."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mimctl.model.profile import PointSpec, PointType
from mimctl.wire.sunspec import END, MARK, Chain, ModelBlock
from mimctl.wire.sunspec_models import Leaf, definition_of, leaves, point_spec
from mimctl.wire.writes import encode_reading, encode_text, exponent_in

_LONGEST = 65000


@dataclass(frozen=True, slots=True)
class ModelContent:
    """What one model of a chain holds at first.

    Args:
        values: by SunSpec point name (`Ph[0].W`): numbers in the point's unit, scale factors as exponents, texts. Everything that
            is not given stands as “not implemented”.
        counts: how often groups repeat, by the name of the count point.
        length: L, where the definition does not say it (legacy models repeat their group as often as L has room).
    """

    id: int
    values: Mapping[str, float | str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    length: int | None = None


def build_chain(contents: Sequence[ModelContent], base: int = 40000) -> tuple[bytearray, Chain]:
    """The registers from `base` on, and the chain that a walk over them finds.

    Raises:
        ValueError: an unknown model or point, or a value that its point cannot hold.
    """
    image = bytearray(MARK)
    blocks: list[ModelBlock] = []
    for content in contents:
        address = base + len(image) // 2
        block, data = _model(content, address)
        image += data
        blocks.append(block)
    image += struct.pack(">HH", END, 0)
    return image, Chain(base, tuple(blocks))


def _model(content: ModelContent, address: int) -> tuple[ModelBlock, bytearray]:
    definition = definition_of(content.id)
    if definition is None:
        raise ValueError(f"model {content.id} has no definition")
    found = leaves(definition, _LONGEST if content.length is None else content.length, content.counts)
    length = found[-1].end - 2 if content.length is None else content.length
    block = ModelBlock(content.id, address, length, tuple(sorted(content.counts.items())))
    data = bytearray(2 * (length + 2))
    values = {**content.values, **content.counts, "ID": content.id, "L": length}
    unknown = set(values) - {leaf.path for leaf in found}
    if unknown:
        raise ValueError(f"model {content.id} has no point {', '.join(sorted(unknown))}")
    # scale factors first: the other values are written in them
    for leaf in sorted(found, key=lambda f: f.definition["type"] != "sunssf"):
        _put(leaf, data, values.get(leaf.path))
    return block, data


def _put(leaf: Leaf, data: bytearray, value: float | str | None) -> None:
    spec = point_spec(leaf, leaf.path, 0)
    if spec is None or (value is None and leaf.definition["type"].startswith("acc")):  # 0 is an accumulator's “not implemented”
        return
    data[2 * leaf.offset : 2 * leaf.end] = _bytes(spec, data, value)


def _bytes(spec: PointSpec, data: bytearray, value: float | str | None) -> bytes:
    if spec.type is PointType.STRING:
        return encode_text(spec, "" if value is None else str(value))
    if spec.type is PointType.HEX:
        return bytes(2 * spec.registers)
    if value is None:
        bare = replace(spec, scale_address=None, scale=1.0)
        return encode_reading(bare, float("nan")) if spec.sentinels or spec.type.is_float else bytes(2 * spec.registers)
    return encode_reading(spec, float(value), exponent_in(spec, data, 0))
