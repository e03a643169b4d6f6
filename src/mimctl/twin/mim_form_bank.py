"""Form mode of a virtual MIM behind its registers."""

from __future__ import annotations

from mimctl.model.errors import DeviceRefusal
from mimctl.model.site import Mim
from mimctl.twin.firmware import Alarm, MimFleet
from mimctl.twin.images import ILLEGAL_VALUE, Display, Image
from mimctl.twin.mim_models import form_registers
from mimctl.twin.mim_registers import WritableModel
from mimctl.wire.sunspec import ModelBlock


class FormBank:
    """The model for form mode in the registers of one unit."""

    def __init__(self, m: int, mim: Mim, block: ModelBlock, image: Image) -> None:
        self._m, self._mim, self._image = m, mim, image
        self._model = WritableModel(block)
        shown = {p.key for p in self._model.register_map.points if p.key == "FmTms" or p.key.startswith("Cmt.")}
        self._display = Display(image, self._model.register_map, shown)
        self._block = block

    def holds(self, address: int) -> bool:
        """Whether a register belongs to the model."""
        return self._block.address <= address < self._block.end

    def reflect(self, fleet: MimFleet) -> None:
        """Bring the registers to what the firmware has made of them."""
        values: dict[str, float] = {"Cmt.Mode": float(fleet.formers.forming[self._m])}
        self._display.show({**form_registers(self._mim), **values} if fleet.alarms[self._m] & Alarm.REBOOTED else values)

    def write(self, fleet: MimFleet, address: int, data: bytes) -> None:
        """Take a write as a whole, or refuse it as a whole.

        Raises:
            DeviceRefusal: it makes no sense.
        """
        touched = self._model.points_of(self._mim.id, address, len(data) // 2)
        self.reflect(fleet)
        before = self._image.read(address, len(data) // 2)
        self._image.put(address, data)
        values = self._model.values(self._image)
        if not values["FmTms"] >= 1 or values["Cmt.Mode"] not in (0, 1) or not (values["V"] > 0 and values["Hz"] > 0):
            self._image.put(address, before)
            raise DeviceRefusal(self._mim.id, "form mode that makes no sense", ILLEGAL_VALUE)
        if "Cmt.CtlHb" in touched:
            fleet.keep_forming(self._m, int(values["Cmt.CtlHb"]))
        if not values["Cmt.Mode"]:
            fleet.stop_forming(self._m)
        elif "Cmt.SeqCmd" in touched:
            fleet.form(self._m, values["V"], values["Hz"], values["FmTms"], int(values["Cmt.SeqCmd"]))
