"""Walk a device's SunSpec model chain. Own code, because real chains end wrongly, lie about lengths and hold unknown models.

Reference: SunSpec Device Information Model Specification 1.1: chain of ID, L, points; bases 40000, 0, 50000.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout
from mimctl.wire.sunspec_keys import INVERTER_MODELS, METER_MODELS, MIM_CONTROL
from mimctl.wire.sunspec_models import count_names, definition_of, leaves, prefix_registers
from mimctl.wire.transport import Transport

BASES = (40000, 0, 50000)
MARK = b"SunS"
END = 0xFFFF
COMMON = 1
_ILLEGAL_ADDRESS = 2
_ADDRESSES = 65536
#: more models than any device has: a device that answers the same to every address must not hold the walk for ever
MAX_MODELS = 128


@dataclass(frozen=True, slots=True)
class ModelBlock:
    """One model of a chain.

    Args:
        address: of its ID register.
        length: L as the device says it: registers behind L.
        counts: values of the points that say how often groups repeat.
        length_told: False = L is not known, `length` is that of the definition.
    """

    id: int
    address: int
    length: int
    counts: tuple[tuple[str, int], ...] = ()
    length_told: bool = True

    @property
    def end(self) -> int:
        return self.address + self.length + 2


@dataclass(frozen=True, slots=True)
class Chain:
    """What a walk found. `warnings` are for people: (code, text) pairs."""

    base: int
    models: tuple[ModelBlock, ...]
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def devices(self) -> tuple[tuple[ModelBlock, ...], ...]:
        """The chain cut at each common model: a gateway lists its own models and then those of each device behind it.

        An inverter may list the models of its meter behind its own, with no common model between them: these are two devices too.
        """
        starts = [i for i, m in enumerate(self.models) if m.id == COMMON and i > 0]
        cuts = [0, *starts, len(self.models)]
        return tuple(device for a, b in pairwise(cuts) if a < b for device in _by_class(self.models[a:b]))


def _by_class(models: tuple[ModelBlock, ...]) -> tuple[tuple[ModelBlock, ...], ...]:
    """The models under one common model as one device, or as a meter and what it is built into, in the order of the chain."""
    sides = [m.id in METER_MODELS for m in models if m.id in METER_MODELS or m.id in INVERTER_MODELS or _is_mim(m)]
    if len(set(sides)) < 2:
        return (models,)
    return tuple(tuple(m for m in models if m.id == COMMON or (m.id in METER_MODELS) is side) for side in dict.fromkeys(sides))


def _is_mim(block: ModelBlock) -> bool:
    definition = definition_of(block.id)
    return definition is not None and definition["group"]["name"] == MIM_CONTROL


@dataclass(slots=True)
class _Walk:
    address: int
    models: list[ModelBlock] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def warn(self, code: str, text: str) -> None:
        self.warnings.append((code, text))


async def walk(transport: Transport, unit: int, bases: Iterable[int] = BASES, *, max_registers: int = 125) -> Chain:
    """Find the chain and list its models.

    Raises:
        BadReply: no chain at any base, though the device answers.
        LinkError: the device does not answer.
    """
    base = await find_base(transport, unit, tuple(bases))
    state = _Walk(base + 2)
    while len(state.models) < MAX_MODELS:
        header = await _header(transport, unit, state)
        if header is None:
            break
        model_id, length = header
        block = (
            await _of_defined_length(transport, unit, model_id, state, max_registers)
            if length is None
            else ModelBlock(model_id, state.address, length)
        )
        if block is None:
            break
        if block.end > _ADDRESSES:
            text = f"model {model_id} at {state.address} claims {block.length} registers, past the last address"
            state.warn("sunspec.length", text)
            break
        if block.length_told:
            block = await _with_counts(transport, unit, block, state, max_registers)
        state.models.append(block)
        state.address = block.end
    else:
        state.warn("sunspec.endless", f"more than {MAX_MODELS} models: the chain has no end")
    if not state.models:
        raise BadReply(transport.link, f"unit {unit} has the SunSpec mark at {base}, but no model behind it")
    return Chain(base, tuple(state.models), tuple(state.warnings))


async def find_base(transport: Transport, unit: int, bases: tuple[int, ...]) -> int:
    """The first of `bases` that holds the SunSpec mark.

    Devices answer an address that they do not have with an exception, with other data, or not at all: each means “not here”.
    """
    silent: LinkTimeout | None = None
    answered = False
    for base in bases:
        try:
            found = await transport.read(unit, base, 2)
        except DeviceRefusal as refusal:
            if refusal.code > 4:
                raise
            answered = True
        except LinkTimeout as timeout:
            silent = timeout
        else:
            answered = True
            if found == MARK:
                return base
    if silent is not None and not answered:
        raise silent
    places = ", ".join(str(b) for b in bases)
    raise BadReply(transport.link, f"unit {unit} has no SunSpec mark at {places}")


async def _header(transport: Transport, unit: int, state: _Walk) -> tuple[int, int | None] | None:
    """ID and L (None: not known) of the next model; None where the chain ends, properly or not."""
    if state.address + 2 > _ADDRESSES:
        state.warn("sunspec.no_end", "the chain runs into the last address without an end model")
        return None
    length: int | None = None
    try:
        model_id, length = struct.unpack(">HH", await transport.read(unit, state.address, 2))
    except DeviceRefusal as refusal:
        found = await _id_alone(transport, unit, state.address) if refusal.code == _ILLEGAL_ADDRESS else None
        if found is None:
            if refusal.code != _ILLEGAL_ADDRESS or not state.models:
                raise
            state.warn("sunspec.no_end", f"no end model: register {state.address} is refused")
            return None
        model_id = found
    if model_id == END:
        return None
    if model_id == 0:
        state.warn("sunspec.no_end", f"the chain ends with 0 instead of {END} at {state.address}")
        return None
    return model_id, length


async def _id_alone(transport: Transport, unit: int, address: int) -> int | None:
    """An ID whose L cannot be had: a dump may know the one and not the other."""
    try:
        return int.from_bytes(await transport.read(unit, address, 1), "big")
    except DeviceRefusal as refusal:
        if refusal.code != _ILLEGAL_ADDRESS:
            raise
        return None


async def _of_defined_length(transport: Transport, unit: int, model_id: int, state: _Walk, max_registers: int) -> ModelBlock | None:
    """A model whose L is not known, as long as its definition says; None where no definition says that."""
    definition = definition_of(model_id)
    if definition is None or any(g.get("count") == 0 for g in definition["group"].get("groups", [])):
        state.warn("sunspec.length", f"the length of model {model_id} at {state.address} is not known: what follows is not found")
        return None
    prefix = ModelBlock(model_id, state.address, prefix_registers(definition) - 2, length_told=False)
    counted = await _with_counts(transport, unit, prefix, state, max_registers)
    length = leaves(definition, _ADDRESSES, dict(counted.counts))[-1].end - 2
    state.warn("sunspec.length", f"the length of model {model_id} at {state.address} is not known; {length} is taken, as defined")
    return replace(counted, length=length)


async def _with_counts(transport: Transport, unit: int, block: ModelBlock, state: _Walk, max_registers: int) -> ModelBlock:
    """The same block with the values of its count points. A model that cannot be read does not stop the others."""
    definition = definition_of(block.id)
    if definition is None:
        state.warn("sunspec.unknown_model", f"model {block.id} at {block.address} (L = {block.length}) is unknown and left alone")
        return block
    names = count_names(definition)
    if not names:
        return block
    offsets: dict[str, int] = {}
    at = 0
    for point in definition["group"]["points"]:
        offsets[point["name"]] = at
        at += int(point["size"])
    count = min(prefix_registers(definition), block.length + 2, max_registers)
    try:
        data = await transport.read(unit, block.address, count)
    except DeviceRefusal as refusal:
        state.warn("sunspec.unreadable_model", f"model {block.id} at {block.address}: {refusal.what}")
        return block
    found = [(n, struct.unpack_from(">H", data, 2 * offsets[n])[0]) for n in sorted(names) if 2 * offsets[n] + 2 <= len(data)]
    return replace(block, counts=tuple((n, 0 if value == 0xFFFF else value) for n, value in found))
