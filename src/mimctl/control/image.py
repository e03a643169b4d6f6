"""Where every point of every device goes in the process image, worked out once per device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.sample import Sample
from mimctl.model.site import Meter, Mim
from mimctl.model.transfer import Transfer

#: point quantity → image block, for meters; each block is (N, 3)
_NODE_BLOCKS = {
    "active_power": "import_w",
    "reactive_power": "import_var",
    "voltage": "voltage_ln_v",
    "current": "current_a",
    "thd_v": "thd_v_pct",
    "thd_i": "thd_i_pct",
}
_PER_PHASE = frozenset(_NODE_BLOCKS.values())
#: blocks whose sign follows the direction a meter's current transformers look in
_SIGNED = ("import_w", "import_var")
#: the same for MIM ports; each block is (K,)
_PORT_BLOCKS = {
    "active_power": "inject_w",
    "reactive_power": "inject_var",
    "voltage": "port_voltage_v",
    "current": "port_current_a",
    "harmonic_share": "harmonic_share_pct",
    "available_inject": "available_inject_w",
    "available_absorb": "available_absorb_w",
}
#: the same for MIMs as a whole; each block is (M,)
_MIM_BLOCKS = {
    "sequence_ack": "sequence_ack",
    "command_status": "command_status",
    "watchdog_remaining": "watchdog_remaining_s",
    "temperature": "temperature_degc",
    "alarms": "alarms",
    "operating_state": "operating_state",
}


#: the same for transfer devices; each block is (T,)
_TRANSFER_BLOCKS = {
    "status": "transfer_code",
    "frequency": "transfer_frequency_hz",
    "available_inject": "transfer_available_va",
    "available_inject.total": "transfer_available_va",
}


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """image[destination] = values[source] × sign, for one device and one tuple of keys."""

    keys: tuple[str, ...]
    source: IntArray
    destination: IntArray
    sign: FloatArray


#: source, destination and sign of the placements of several samples whose values stand one after another
_Movement = tuple[IntArray, IntArray, FloatArray]


def _joined(samples: Sequence[Sample], placements: Sequence[Placement]) -> _Movement:
    starts = np.cumsum([0, *(len(sample.values) for sample in samples)])
    return (
        np.concatenate([placement.source + start for placement, start in zip(placements, starts[:-1], strict=True)]),
        np.concatenate([placement.destination for placement in placements]),
        np.concatenate([placement.sign for placement in placements]),
    )


class ImageMap:
    """One flat vector of floats holds the whole image; blocks are views of it."""

    def __init__(self, layout: SiteLayout) -> None:
        self.layout = layout
        nodes, ports, mims = len(layout.nodes), len(layout.ports), len(layout.mims)
        sizes = dict.fromkeys(_NODE_BLOCKS.values(), 3 * nodes) | {"neutral_a": nodes, "total_var": nodes}
        sizes |= dict.fromkeys(_PORT_BLOCKS.values(), ports) | dict.fromkeys(_MIM_BLOCKS.values(), mims)
        sizes |= {"soc_pct": len(layout.batteries), "frequency_hz": nodes}
        sizes |= dict.fromkeys(_TRANSFER_BLOCKS.values(), len(layout.site.transfers))
        starts = np.cumsum([0, *sizes.values()])
        self._absent = ~layout.phase_present
        self._slices = {name: slice(int(a), int(a) + n) for (name, n), a in zip(sizes.items(), starts[:-1], strict=True)}
        self._places = [(name, where, name in _PER_PHASE) for name, where in self._slices.items()]
        self.size = int(starts[-1])
        self._placements: dict[str, Placement] = {}
        #: the placements that were last moved together, and the movement
        self._moved: tuple[list[Placement], _Movement] = [], (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self._finders: dict[str, Callable[[str], tuple[int, float] | None]] = {}
        for meter in layout.meter_of_node:
            if meter is not None:
                self._finders[meter.id] = self._meter_finder(meter)
        for mim in layout.mims:
            self._finders[mim.id] = self._mim_finder(mim)
        for t, transfer in enumerate(layout.site.transfers):
            self._finders[transfer.id] = self._transfer_finder(transfer, t)

    def block(self, image: FloatArray, name: str) -> FloatArray:
        """A view of one block: (N, 3) for node quantities per phase, else flat."""
        view = image[self._slices[name]]
        return view.reshape(-1, 3) if name in _PER_PHASE else view

    def blocks(self, image: FloatArray) -> dict[str, FloatArray]:
        """All of them."""
        return {name: image[where].reshape(-1, 3) if wide else image[where] for name, where, wide in self._places}

    def store(self, image: FloatArray, samples: Sequence[Sample]) -> None:
        """Put samples into the image, all in one movement; points that the image has no place for are passed over."""
        if not samples:
            return
        placements = [self._placement(image, sample) for sample in samples]
        if placements != self._moved[0]:  # the same devices with the same points in most cycles
            self._moved = placements, _joined(samples, placements)
        source, destination, sign = self._moved[1]
        image[destination] = np.concatenate([sample.values for sample in samples])[source] * sign

    def _placement(self, image: FloatArray, sample: Sample) -> Placement:
        placement = self._placements.get(sample.device)
        if placement is None or placement.keys is not sample.keys:
            self.forget(image, sample.device)
            placement = self._placements[sample.device] = self._place(sample)
        return placement

    def forget(self, image: FloatArray, device: str) -> None:
        """What the device said is no longer known."""
        placement = self._placements.get(device)
        if placement is not None:
            image[placement.destination] = np.nan

    def _place(self, sample: Sample) -> Placement:
        find = self._finders[sample.device]
        found = [(i, place) for i, key in enumerate(sample.keys) if (place := find(key)) is not None]
        return Placement(
            sample.keys,
            np.array([i for i, _ in found], dtype=np.int64),
            np.array([place[0] for _, place in found], dtype=np.int64),
            np.array([place[1] for _, place in found], dtype=np.float64),
        )

    def _meter_finder(self, meter: Meter) -> Callable[[str], tuple[int, float] | None]:
        node = self.layout.node_index[meter.node]
        column = {f"L{i + 1}": phase.column for i, phase in enumerate(meter.phase_map)}

        def find(key: str) -> tuple[int, float] | None:
            quantity, _, place = key.partition(".")
            if key == "current.N":
                return self._slices["neutral_a"].start + node, 1.0
            if key == "frequency":
                return self._slices["frequency_hz"].start + node, 1.0
            if key == "reactive_power.total":
                return self._slices["total_var"].start + node, float(meter.sign)
            block = _NODE_BLOCKS.get(quantity)
            if block is None or place not in column:
                return None
            return self._slices[block].start + 3 * node + column[place], float(meter.sign) if block in _SIGNED else 1.0

        return find

    def _mim_finder(self, mim: Mim) -> Callable[[str], tuple[int, float] | None]:
        index = self.layout.mim_index[mim.id]
        ports = self.layout.ports_of_mim[index]
        battery = next((b for b, battery in enumerate(self.layout.batteries) if battery.mim == mim.id), None)

        def find(key: str) -> tuple[int, float] | None:
            quantity, _, place = key.partition(".")
            if place.startswith("port") and quantity in _PORT_BLOCKS:
                port = int(place.removeprefix("port")) - 1
                return (self._slices[_PORT_BLOCKS[quantity]].start + ports.start + port, 1.0) if port < len(mim.ports) else None
            if key == "soc" and battery is not None:
                return self._slices["soc_pct"].start + battery, 1.0
            block = _MIM_BLOCKS.get(key)
            return None if block is None else (self._slices[block].start + index, 1.0)

        return find

    def _transfer_finder(self, transfer: Transfer, t: int) -> Callable[[str], tuple[int, float] | None]:
        def find(key: str) -> tuple[int, float] | None:
            block = _TRANSFER_BLOCKS.get(key)
            return None if block is None else (self._slices[block].start + t, 1.0)

        return find

    def settle(self, image: FloatArray) -> FloatArray | None:
        """Fill in what follows from the rest: absent phases carry nothing; vars per phase follow from V, I, P and the total.

        V, I and P bound the vars of a phase: distortion is in the apparent power too. The total, which is measured, is shared in
        proportion to these bounds. Without a total the vars stay unknown: a guess would be worth less than nothing to a balancer.

        Returns:
            (N, 3) how far vars that were shared so may be off [var]; None where every meter tells its own.
        """
        import_w, import_var = self.block(image, "import_w"), self.block(image, "import_var")
        if self._absent.any():
            for name in ("import_w", "import_var", "current_a"):
                self.block(image, name)[self._absent] = 0.0
        missing = np.isnan(import_var) & ~np.isnan(import_w)
        if not missing.any():
            return None
        apparent_va = self.block(image, "voltage_ln_v") * self.block(image, "current_a")
        most_var = np.where(missing, np.sqrt(np.maximum(apparent_va**2 - import_w**2, 0.0)), 0.0)
        rest_var = self.block(image, "total_var") - np.where(missing, 0.0, np.nan_to_num(import_var)).sum(axis=1)
        whole_var = most_var.sum(axis=1)
        share = np.divide(rest_var, whole_var, out=np.zeros_like(rest_var), where=whole_var != 0)
        share = np.where(np.isnan(rest_var), np.nan, np.clip(share, -1.0, 1.0))
        shared_var = most_var * share[:, None]
        import_var[missing] = shared_var[missing]
        return frozen(np.nan_to_num(np.where(missing, most_var + np.abs(shared_var), 0.0)))
