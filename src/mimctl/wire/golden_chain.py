"""Golden vectors of a profile for a device that tells its own register map: whole chains, walked as the driver walks them."""

from __future__ import annotations

import struct
from collections.abc import Coroutine, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from mimctl.model.chain import ChainPoint
from mimctl.model.errors import DeviceRefusal, LinkError
from mimctl.model.problem import Problem, error
from mimctl.model.profile import DeviceClass, DeviceProfile, GoldenVector, RegisterMap
from mimctl.wire.dump import DumpBlock, DumpTransport, RegisterDump
from mimctl.wire.golden_values import compared
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec_device import map_of_chain, rules_of, walk_for, wanted_class
from mimctl.wire.sunspec_models import definition_of, leaves
from mimctl.wire.transport import READ_HOLDING

_UNIT = 1
_ADDRESSES = 65536
T = TypeVar("T")


def chain_problems(profile: DeviceProfile) -> Iterator[Problem]:
    """Points that no definition knows."""
    for point in rules_of(profile).points:
        yield from _unknown_point(point)


def _unknown_point(point: ChainPoint) -> Iterator[Problem]:
    path = f"sunspec.points.{point.key}"
    definition = definition_of(point.model)
    if definition is None:
        yield error("profile.sunspec", f"{path}.model", f"there is no definition of model {point.model}")
        return
    # a group that repeats does so as often as a length beyond any device's has room for
    counts = {name["name"]: 1000 for name in definition["group"]["points"]}
    known = [leaf.path for leaf in leaves(definition, _ADDRESSES // 8, counts)]
    if point.path not in known:
        near = get_close_matches(point.path, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        yield error("profile.sunspec", f"{path}.point", f"model {point.model} has no point '{point.path}'{hint}")


def chain_values(profile: DeviceProfile, vector: GoldenVector) -> dict[str, float]:
    """What the driver would read from a device with these registers, by key.

    Raises:
        LinkError: the chain is none, or the device is not the profile's.
    """
    return _finished(_values(DumpTransport(_dump(vector.image), vector.name), profile))


def chain_map(profile: DeviceProfile, name: str, image: Sequence[tuple[int, bytes]]) -> RegisterMap:
    """The register map of a device with these registers, one that is commanded.

    Args:
        name: of the vector, for messages.
        image: (first address, register bytes) pairs.

    Raises:
        LinkError: the chain is none, or the device is not the profile's, or cannot be commanded.
    """
    return _finished(_map(DumpTransport(_dump(image), name), profile))


async def _map(transport: DumpTransport, profile: DeviceProfile) -> RegisterMap:
    chain = await walk_for(transport, _UNIT, profile)
    found, _ = await map_of_chain(transport, _UNIT, profile.id, DeviceClass.MIM, chain, profile=profile)
    return found


async def _values(transport: DumpTransport, profile: DeviceProfile) -> dict[str, float]:
    chain = await walk_for(transport, _UNIT, profile)
    found, _ = await map_of_chain(transport, _UNIT, profile.id, wanted_class(profile), chain, profile=profile)
    values: dict[str, float] = {}
    for static in (False, True):
        compiled = CompiledMap(found, static=static)
        blocks: list[bytes | None] = []
        for read in compiled.reads:
            try:
                blocks.append(await transport.read(_UNIT, read.address, read.count, function=read.function))
            except DeviceRefusal:
                blocks.append(None)
        values.update(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))
    return values


def _dump(image: Sequence[tuple[int, bytes]]) -> RegisterDump:
    def words(data: bytes) -> tuple[int, ...]:
        return struct.unpack(f">{len(data) // 2}H", data)

    return RegisterDump(tuple(DumpBlock(_UNIT, READ_HOLDING, address, words(data)) for address, data in image))


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that waits for nothing: every register is in memory."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a register image does not make anybody wait")


def check_chains(profile: DeviceProfile) -> list[Problem]:
    """One problem for each expected value that a chain does not give; paths are those of the profile file."""
    found = list(chain_problems(profile))
    for n, vector in enumerate(profile.vectors):
        try:
            values = chain_values(profile, vector)
        except LinkError as wrong:
            found.append(error("profile.vector", f"tests[{n}]", f"{vector.name}: {wrong.what}"))
            continue
        found += compared(vector, values, f"tests[{n}]")
    return found
