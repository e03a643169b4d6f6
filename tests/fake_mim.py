"""A MIM as registers that behave: staged setpoints, applied when the sequence number changes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.site import Mim, PortSpec
from mimctl.wire.memory import MemoryBank
from mimctl.wire.sunspec import Chain
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_keys import MIM_CONTROL, MIM_MEASUREMENT
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.sunspec_models import vendor_model_id
from mimctl.wire.writes import write_image

BASE = 40000
HEADER = {"V_SF": -1, "A_SF": -2, "W_SF": 0, "Avl_SF": 0, "Hz_SF": -3, "Ang_SF": -2, "Pct_SF": -1, "Tmp_SF": -1}


def mim(ports: int = 3, **more: object) -> Mim:
    places = [Connection(f"L{1 + n % 3}") for n in range(ports)]
    return Mim("mim1", DeviceAddress("gw", 1), tuple(PortSpec("rack1", c, 2000.0) for c in places), **more)  # type: ignore[arg-type]


@dataclass
class FakeMim:
    """Applies and echoes commands; counts what was written."""

    ports: int = 3
    control: dict[str, float | str] = field(default_factory=dict)
    obedient: bool = True
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    chain: Chain = field(init=False)
    bank: MemoryBank = field(init=False)

    def __post_init__(self) -> None:
        at_first: dict[str, float | str] = {"W_SF": 0, "Pct_SF": 0, "WdAct": 0, "WdTms": 60, "Cmt.Ena": 0}
        at_first |= {"Cmt.CtlHb": 5, "Cmt.SeqCmd": 7} | {f"Ph[{n}].{k}": 0 for n in range(self.ports) for k in ("W", "Var")}
        measured: dict[str, float | str] = {**HEADER, "SeqAck": 7, "CmdSta": 0, "WdRem": 60, "Tmp": 41.5, "Hz": 50.0, "Alrm": 0}
        measured |= {f"Ph[{n}].{k}": v for n in range(self.ports) for k, v in {"V": 230.4, "W": 0, "Var": 0}.items()}
        contents = [
            ModelContent(1, {"Mn": "ACME", "Md": "MIM-3", "SN": "0815"}),
            ModelContent(713, {"Pct_SF": -1, "SoC": 61.5}),
            ModelContent(vendor_model_id(MIM_MEASUREMENT), measured, {"NPh": self.ports}),
            ModelContent(vendor_model_id(MIM_CONTROL), at_first | self.control, {"NPh": self.ports}),
        ]
        image, self.chain = build_chain(contents, BASE)
        self.map = register_map_of(self.chain.models, "mim1")
        self.bank = MemoryBank(BASE, image, self._written)

    def _written(self, address: int, data: bytes) -> None:
        self.writes.append((address, data))
        if self.obedient and self.number("sequence") != self.shown("sequence_ack"):
            parts = zip(("active_power", "reactive_power"), self.setpoints(), strict=True)
            values = {f"{quantity}.port{n + 1}": float(told[n]) for quantity, told in parts for n in range(self.ports)}
            self.show(
                values | {"sequence_ack": float(self.number("sequence")), "watchdog_remaining": float(self.number("validity"))}
            )

    def show(self, values: dict[str, float]) -> None:
        write_image(self.map, self.bank.registers, BASE, values)

    def number(self, name: str) -> int:
        """A command register as it stands."""
        point = getattr(self.map.mim, name)
        data = self.bank.read(point.address, point.registers)
        return int.from_bytes(data, "big")

    def shown(self, key: str) -> int:
        point = next(p for p in self.map.points if p.key == key)
        return int.from_bytes(self.bank.read(point.address, point.registers), "big")

    def output_va(self, port: int) -> complex:
        """What a port shows that it gives, from 1, injection positive [VA]."""
        data = [self._register(f"{quantity}.port{port}") for quantity in ("active_power", "reactive_power")]
        return complex(*(struct.unpack(">i", d)[0] for d in data))

    def _register(self, key: str) -> bytes:
        point = next(p for p in self.map.points if p.key == key)
        return self.bank.read(point.address, point.registers)

    def setpoints(self) -> tuple[list[int], list[int]]:
        def of(points) -> list[int]:  # type: ignore[no-untyped-def]
            return [struct.unpack(">i", self.bank.read(p.address, 2))[0] for p in points]

        assert self.map.mim is not None
        return of(self.map.mim.setpoint_w), of(self.map.mim.setpoint_var)
