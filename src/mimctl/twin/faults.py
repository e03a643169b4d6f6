"""What each kind of fault does to the twin, and how it is undone. `schedule` puts faults on the plant's own time.

One small class for each kind: `apply` and `undo`, for one target; its fields are the figures that a file of faults gives. Of two
faults of one kind on one target the end of one would end both: files with such faults are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from mimctl.model.fault import Fault, FaultKind
from mimctl.twin.defects import Obedience
from mimctl.twin.fault_grid import DeadBus, FeedLost, Frequency
from mimctl.twin.fault_instruments import (
    Coordinator,
    CtReversed,
    CtSwapped,
    LinkDown,
    LinkLoss,
    Lying,
    Noisy,
    NoValues,
    Offline,
    Skewed,
)
from mimctl.twin.fault_mims import Clipped, Delayed, Derated, Disobedient, Rebooted, Stuck, fleet_of
from mimctl.twin.plant import Plant


class Effect(Protocol):
    """What a fault does to one target."""

    def apply(self, plant: Plant, target: str) -> None: ...

    def undo(self, plant: Plant, target: str) -> None: ...


def schedule(plant: Plant, faults: Iterable[Fault]) -> None:
    """Have the faults happen at their instants, counted from the plant's zero; those whose instant has passed begin at once.

    Raises:
        ValueError: a kind that befalls the controller, not the twin; a target that does not exist.
    """
    fleet = fleet_of(plant)
    for fault in faults:
        if fault.kind not in EFFECTS:
            raise ValueError(f"{fault.kind} is no fault of devices or grid")
        effect = EFFECTS[fault.kind](**dict(fault.values))
        for target in fault.targets or (plant.layout.site.id,):
            fleet.at(fault.at_s, partial(effect.apply, plant, target))
            if fault.until_s < math.inf:
                fleet.at(fault.until_s, partial(effect.undo, plant, target))


#: what each kind does; kinds that befall the controller are not among them
EFFECTS: Mapping[FaultKind, Callable[..., Effect]] = {
    FaultKind.OFFLINE: Offline,
    FaultKind.LINK_DOWN: LinkDown,
    FaultKind.COORDINATOR: Coordinator,
    FaultKind.LINK_LOSS: LinkLoss,
    FaultKind.STUCK: Stuck,
    FaultKind.PRETENDING: partial(Disobedient, Obedience.PRETENDS),
    FaultKind.READ_ONLY: partial(Disobedient, Obedience.READ_ONLY),
    FaultKind.REJECTING: partial(Disobedient, Obedience.REJECTS),
    FaultKind.CLIPPED: Clipped,
    FaultKind.DERATED: Derated,
    FaultKind.DELAYED: Delayed,
    FaultKind.REBOOTED: Rebooted,
    FaultKind.LYING: Lying,
    FaultKind.NOISY: Noisy,
    FaultKind.NO_VALUES: NoValues,
    FaultKind.SKEWED: Skewed,
    FaultKind.CT_SWAPPED: CtSwapped,
    FaultKind.CT_REVERSED: CtReversed,
    FaultKind.RACK_TRIPPED: DeadBus,
    FaultKind.FEED_LOST: FeedLost,
    FaultKind.FREQUENCY: Frequency,
}
