"""What is wrong with the instruments of a site and the ways to them: one row per meter, per MIM, per transfer device.

Without a fault nothing here costs more than a look at a flag.
"""

from __future__ import annotations

import numpy as np

from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout

#: what may have no value
QUANTITIES = ("voltage", "current", "power")
Rows = int | slice


class Instruments:
    """D devices: meters in the order of the site file, then MIMs, then transfer devices.

    Arrays (D, 3) are by the device's own inputs L1, L2, L3.

    Args:
        seed: of lost frames and of added noise.
    """

    def __init__(self, layout: SiteLayout, seed: int) -> None:
        site = layout.site
        devices = [(meter.id, meter.address) for meter in site.meters] + [(mim.id, mim.address) for mim in site.mims]
        devices += [(transfer.id, transfer.address) for transfer in site.transfers if transfer.address is not None]
        self.row = {device: i for i, (device, _) in enumerate(devices)}
        self._link = {device: address.link for device, address in devices}
        self.links = {link.id: [device for device, address in devices if address.link == link.id] for link in layout.site.links}
        count, meters = len(devices), len(layout.site.meters)
        self.meters, self.mims = slice(0, meters), slice(meters, meters + len(layout.site.mims))
        #: how many faults keep the device from answering
        self.mute: IntArray = np.zeros(count, dtype=np.int64)
        #: what befell the coordinators of radio links, by link
        self.coordinators: dict[str, str] = {}
        #: shares of the frames that the ways to the device lose
        self.loss = np.zeros(count)
        #: frames to and from the device that were on their way so far, and how many of them did not arrive
        self.frames: IntArray = np.zeros(count, dtype=np.int64)
        self.lost: IntArray = np.zeros(count, dtype=np.int64)
        #: what is read is so much older than it says [s]
        self.late_s = np.zeros(count)
        self.gain = np.ones((count, 3))
        self.offset_w = np.zeros((count, 3))
        self.noise = np.zeros(count)
        #: (D, 3): voltages, currents, powers that say “no value”
        self.blank: BoolArray = np.zeros((count, len(QUANTITIES)), dtype=np.bool_)
        #: which input each current transformer really is on, and which way it looks
        self.order: IntArray = np.tile(np.arange(3), (count, 1))
        self.turn = np.ones((count, 3))
        self.tampered = False
        self._random = np.random.default_rng([seed, 0x6661756C74])

    def touch(self) -> None:
        """Something has changed: see what there is to do for every reading from now on."""
        straight = (self.order == np.arange(3)).all() and (self.turn == 1).all()
        exact = (self.gain == 1).all() and not (self.offset_w.any() or self.noise.any() or self.blank.any())
        self.tampered = not (straight and exact)

    # the ways to the devices

    def ask(self, device: str) -> None:
        """A request is on its way.

        Raises:
            LinkDown: nobody answers.
            LinkTimeout: the request is lost.
        """
        self.require_reachable(device)
        self._pass(device, self.row[device], "the request was lost")

    def require_reachable(self, device: str) -> None:
        """
        Raises:
            LinkDown: nobody answers.
        """
        if self.mute[self.row[device]]:
            raise LinkDown(device, "it does not answer")
        if self.coordinators and self._link[device] in self.coordinators:
            raise LinkDown(device, "its coordinator is away")

    def answer(self, device: str) -> None:
        """The answer is on its way back; what was asked for has been done.

        Raises:
            LinkTimeout: the answer is lost.
        """
        self._pass(device, self.row[device], "the answer was lost")

    def _pass(self, device: str, row: int, what: str) -> None:
        share = self.loss[row]
        self.frames[row] += 1
        if share > 0 and self._random.random() < share:
            self.lost[row] += 1
            raise LinkTimeout(device, what)

    # readings

    def wired(self, rows: Rows, volts: ComplexArray, amps: ComplexArray, power: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Currents and powers as meters see them whose current transformers are on the wrong input or look the wrong way.

        Args:
            volts, amps: (…, 3) phasors at the inputs as they should be.
            power: (…, 3) V·I* of them [VA].
        """
        order, turn = self.order[rows], self.turn[rows]
        right = ((order == np.arange(3)) & (turn == 1)).all(axis=-1, keepdims=True)
        if right.all():
            return amps, power
        seen = turn * np.take_along_axis(amps, order, axis=-1)
        return np.where(right, amps, seen), np.where(right, power, volts * np.conj(seen))

    def told(self, rows: IntArray, power: ComplexArray, volts: FloatArray) -> tuple[ComplexArray, FloatArray]:
        """Powers [VA] and voltages [V] of single ports, `rows` being those of their MIMs: what the MIMs say of them."""
        gain = self.gain[rows, 0] * (1 + self.noise[rows] * self._random.standard_normal(rows.shape))
        across = volts * (1 + self.noise[rows] * self._random.standard_normal(rows.shape))
        blank = np.where(self.blank[rows], np.nan, 0.0)
        return power * gain + self.offset_w[rows, 0] + blank[:, 2] * (1 + 1j), across + blank[:, 0]

    def falsify(self, rows: Rows, volts: FloatArray, amps: FloatArray, power: ComplexArray) -> ComplexArray:
        """Gain, offset, noise and missing values; `volts` and `amps` (…, 3) are changed in place, the power is given back."""
        gain = self.gain[rows]
        if self.noise[rows].any():
            sigma = np.asarray(self.noise[rows])[..., None]
            gain = gain * (1 + sigma * self._random.standard_normal(amps.shape))
            volts *= 1 + sigma * self._random.standard_normal(volts.shape)
        amps *= gain
        blank = np.where(self.blank[rows], np.nan, 0.0)
        volts += blank[..., 0:1]
        amps += blank[..., 1:2]
        told: ComplexArray = power * gain + self.offset_w[rows] + blank[..., 2:3] * (1 + 1j)
        return told
