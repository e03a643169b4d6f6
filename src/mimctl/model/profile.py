"""Register maps: what stands in a device's registers, whatever told us. SunSpec discovery and profile files both end here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.chain import ChainRules
from mimctl.model.command_vectors import CommandVector
from mimctl.model.points import ByteOrder, PointSpec, PointType, ReadBlock, WordOrder
from mimctl.model.setpoints import MimMap

__all__ = [
    "ByteOrder",
    "Condition",
    "DeviceClass",
    "DeviceProfile",
    "Difference",
    "GoldenVector",
    "Guard",
    "IdentityRule",
    "InstanceCount",
    "LinkHints",
    "MimMap",
    "PointSpec",
    "PointType",
    "Provenance",
    "ReadBlock",
    "RegisterMap",
    "Signed",
    "Variant",
    "WordOrder",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """A signed value that a device splits into two unsigned ones: `plus` − `minus`, both keys of points."""

    key: str
    plus: str
    minus: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A point whose register holds a size alone; its direction stands elsewhere.

    Args:
        key: of the point with the size.
        by: of the point that tells the direction.
        bit: the bit of `by` that tells it; None: the sign of its value does.
        sign: of the value while `by` is positive, or its bit not set.
    """

    key: str
    by: str
    bit: int | None = None
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Guard:
    """Registers that identify a stretch of the map: read in the same frame as the values, or the values are not believed.

    Args:
        address: first of the identifying registers, `values` what they must hold.
        start, end: the stretch they vouch for.
    """

    address: int
    values: tuple[int, ...]
    start: int
    end: int
    function: int = 3


class DeviceClass(StrEnum):
    METER = "meter"
    BRANCH_MONITOR = "branch_monitor"
    PDU = "pdu"
    STS = "sts"
    INVERTER = "inverter"
    ESS = "ess"
    MIM = "mim"
    OTHER = "other"

    @property
    def injects(self) -> bool:
        """Whether its power counts as injection (discharge positive) and not as load."""
        return self in (DeviceClass.INVERTER, DeviceClass.ESS, DeviceClass.MIM)


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """Everything that mimctl reads from one device.

    Args:
        points: in the order their values are given; keys are unique.
        identity: (name, point) of manufacturer, model, version, serial; read once, shown as text.
        blocks: reads that the map's author prescribes; empty = planned from the points.
        max_gap: registers without a point that one read may run over.
        max_registers: most registers that the device gives in one read.
        mim: how it is commanded; None: it cannot be.
    """

    device_class: DeviceClass
    points: tuple[PointSpec, ...]
    differences: tuple[Difference, ...] = ()
    identity: tuple[tuple[str, PointSpec], ...] = ()
    guards: tuple[Guard, ...] = ()
    blocks: tuple[ReadBlock, ...] = ()
    max_gap: int = 0
    max_registers: int = 125
    mim: MimMap | None = None
    signed: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What a register of the device must hold; every test that is given must hold.

    Args:
        equals: raw numbers or texts, any of them.
        matches: patterns with `*` and `?`, any of them; case counts for nothing.
        at_least, below: for numbers, and for texts that are versions (`1.12.3`), compared number by number.
    """

    point: PointSpec
    equals: tuple[int | str, ...] = ()
    matches: tuple[str, ...] = ()
    at_least: str | None = None
    below: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """How to tell this device from another.

    Args:
        weak: fits many devices (a voltage that is a voltage): hints at the profile, never refuses a device that is switched off.
    """

    condition: Condition
    weak: bool = False


@dataclass(frozen=True, slots=True)
class InstanceCount:
    """A register that says how many of the repeated parts are there: the others have no points."""

    instance: str
    point: PointSpec


@dataclass(frozen=True, slots=True)
class Variant:
    """The same device with other firmware or options, and its register map."""

    name: str
    when: Condition
    register_map: RegisterMap


@dataclass(frozen=True, slots=True)
class LinkHints:
    """What the device needs of its link; for people and for checks of a site file. None or empty = nothing known.

    Args:
        units: unit ids to try first.
    """

    transports: tuple[str, ...] = ()
    port: int | None = None
    units: tuple[int, ...] = ()
    timeout_s: float | None = None
    connect_delay_s: float | None = None
    request_gap_s: float | None = None
    max_connections: int | None = None


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """Registers of a device and the values they stand for: the proof that a profile reads what it claims.

    Args:
        image: (first address, register bytes) pairs.
        expect: (key, value in the unit of the quantity) pairs; None = the device gives no value.
        variant: the variant whose map is meant; None = the profile's own.
    """

    name: str
    image: tuple[tuple[int, bytes], ...]
    expect: tuple[tuple[str, float | None], ...]
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a profile's facts come from.

    Args:
        verified: `none`, `captured_image` or `live`.
    """

    source: str
    confidence: str
    verified: str = "none"


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One profile file.

    Args:
        id: `vendor/model`, its path below `device_profiles`.
        use: what the device is in a data centre, for people.
        register_map: of the device as the file describes it, before variants and counts.
        variants: tried in order; the first whose condition holds replaces the map.
        counts: how many of the repeated parts are there.
        gaps: what is not known about the device, for people.
        chain: for a device that tells its own register map; the one given here is then what it has beside it.
    """

    id: str
    vendor: str
    models: tuple[str, ...]
    provenance: Provenance
    register_map: RegisterMap
    vectors: tuple[GoldenVector, ...] = ()
    command_vectors: tuple[CommandVector, ...] = ()
    gaps: tuple[str, ...] = ()
    use: str = ""
    identify: tuple[IdentityRule, ...] = ()
    variants: tuple[Variant, ...] = ()
    counts: tuple[InstanceCount, ...] = ()
    hints: LinkHints = LinkHints()
    chain: ChainRules | None = None
