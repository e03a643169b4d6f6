"""Run a profile's golden vectors through the codec: what `config` cannot do, because the codec stands above it."""

from __future__ import annotations

from collections.abc import Sequence

from mimctl.model.problem import Problem
from mimctl.model.profile import DeviceProfile, GoldenVector, ReadBlock, RegisterMap
from mimctl.wire.golden_chain import check_chains
from mimctl.wire.golden_values import compared
from mimctl.wire.registers import CompiledMap


def check_vectors(profile: DeviceProfile) -> list[Problem]:
    """One problem for each expected value that the profile does not give; paths are those of the profile file."""
    if profile.chain is not None:
        return check_chains(profile)
    maps: dict[str | None, RegisterMap] = {None: profile.register_map}
    maps.update((v.name, v.register_map) for v in profile.variants)
    compiled = {
        name: tuple(CompiledMap(register_map, static=static) for static in (False, True)) for name, register_map in maps.items()
    }
    return [p for n, vector in enumerate(profile.vectors) for p in _check(compiled[vector.variant], vector, f"tests[{n}]")]


def _check(polled_and_static: Sequence[CompiledMap], vector: GoldenVector, path: str) -> list[Problem]:
    found: dict[str, float] = {}
    for compiled in polled_and_static:
        blocks = [image_registers(vector.image, read) for read in compiled.reads]
        found.update(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))
    return compared(vector, found, path)


def image_registers(image: Sequence[tuple[int, bytes]], read: ReadBlock) -> bytes:
    """The registers of a read; those that the image does not give are 0.

    Args:
        image: (first address, register bytes) pairs.
    """
    data = bytearray(2 * read.count)
    for address, given in image:
        for n in range(0, len(given), 2):
            at = 2 * (address - read.address) + n
            if 0 <= at < len(data):
                data[at : at + 2] = given[n : n + 2]
    return bytes(data)
