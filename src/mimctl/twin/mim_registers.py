"""A model of a virtual device that takes writes: which of its registers may be written, and what they say."""

from __future__ import annotations

from mimctl.model.errors import DeviceRefusal
from mimctl.model.profile import PointSpec
from mimctl.twin.images import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Image
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_map import model_map


class WritableModel:
    """One model of a chain."""

    def __init__(self, block: ModelBlock) -> None:
        self.register_map = model_map(block)
        self._compiled = CompiledMap(self.register_map)
        self._starting: dict[int, PointSpec] = {p.address: p for p in self.register_map.points if p.writable}

    def points_of(self, device: str, address: int, count: int) -> set[str]:
        """The points that a write covers.

        Raises:
            DeviceRefusal: a register that cannot be written, or half a point.
        """
        at, paths = address, set()
        while at < address + count:
            point = self._starting.get(at)
            if point is None:
                raise DeviceRefusal(device, f"register {at} cannot be written", ILLEGAL_ADDRESS)
            paths.add(point.key)
            at = point.end
        if at > address + count:
            raise DeviceRefusal(device, f"a write ends within {point.key if point else at}", ILLEGAL_VALUE)
        return paths

    def values(self, image: Image) -> dict[str, float]:
        blocks = [image.read(r.address, r.count) for r in self._compiled.reads]
        return dict(zip(self._compiled.keys, self._compiled.decode(blocks).tolist(), strict=True))
