"""Run a profile's golden vectors through the codec: what `config` cannot do, because the codec stands above it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mimctl.model.problem import Problem, error
from mimctl.model.profile import DeviceProfile, GoldenVector, ReadBlock, RegisterMap
from mimctl.wire.registers import CompiledMap

#: floats in a profile are decimal, registers are binary
_RELATIVE = 1e-6


def check_vectors(profile: DeviceProfile) -> list[Problem]:
    """One problem for each expected value that the profile does not give; paths are those of the profile file."""
    maps: dict[str | None, RegisterMap] = {None: profile.register_map}
    maps.update((v.name, v.register_map) for v in profile.variants)
    compiled = {name: CompiledMap(register_map) for name, register_map in maps.items()}
    return [p for n, vector in enumerate(profile.vectors) for p in _check(compiled[vector.variant], vector, f"tests[{n}]")]


def _check(compiled: CompiledMap, vector: GoldenVector, path: str) -> list[Problem]:
    blocks = [_registers(vector, read) for read in compiled.reads]
    found = dict(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))
    problems: list[Problem] = []
    for key, want in vector.expect:
        got = found.get(key, math.nan)
        if not _same(got, want):
            shown = "no value" if math.isnan(got) else f"{got:g}"
            wanted = "no value" if want is None else f"{want:g}"
            problems.append(error("profile.vector", f"{path}.expect.{key}", f"{vector.name}: gives {shown}, expected {wanted}"))
    return problems


def _same(got: float, want: float | None) -> bool:
    if want is None or math.isnan(got):
        return want is None and math.isnan(got)
    return math.isclose(got, want, rel_tol=_RELATIVE, abs_tol=_RELATIVE)


def _registers(vector: GoldenVector, read: ReadBlock) -> bytes:
    """The registers of a read; those that the vector does not give are 0."""
    data = bytearray(2 * read.count)
    parts: Sequence[tuple[int, bytes]] = vector.image
    for address, given in parts:
        for n in range(0, len(given), 2):
            at = 2 * (address - read.address) + n
            if 0 <= at < len(data):
                data[at : at + 2] = given[n : n + 2]
    return bytes(data)
