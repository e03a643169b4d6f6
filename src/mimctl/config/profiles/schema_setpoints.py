"""Profile file: how a device is commanded, and what it does in silence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from mimctl.config.profiles.schema_points import Address, RegisterItem, ScaleRegisterItem, Text
from mimctl.config.units import DURATION, POWER, REACTIVE_POWER, Record
from mimctl.model.profile import PointType
from mimctl.model.setpoints import Failsafe
from mimctl.model.site import ExpiryAction


class CommandItem(RegisterItem):
    """A register that is written."""

    address: Address = Field(description="First register.")
    type: Annotated[PointType, Strict(False)] = Field(description="How the value is stored.")
    write: Literal["multiple", "single"] = Field(
        "multiple", description="Function 16, together with registers beside it, or function 6, one register alone."
    )
    readable: bool = Field(True, description="The register can be read back.")
    persistent: bool = Field(False, description="Each write wears a memory cell; `write_policy.daily_budget` limits them.")


class DirectionItem(CommandItem):
    """A command word that says the direction of a size."""

    inject: int = Field(description="Word for injection (discharging).")
    absorb: int = Field(description="Word for the opposite (charging).")
    idle: int = Field(description="Word for zero.")


class SetpointItem(CommandItem):
    """One setpoint of one port. Value = raw × scale × 10^(scale register) × sign, as for points."""

    scale: float = Field(1.0, description="W or var per count.")
    scale_register: ScaleRegisterItem | None = Field(None, description="Register with the power of ten.")
    unit: Text | None = Field(None, description="W or var.")
    nan: list[int] = Field(default_factory=list, description="Raw values that mean 'no value' and are never written.")
    sign: Literal[1, -1] = Field(1, description="−1 where this setpoint alone runs against the conventions.")
    min: float = Field(description="Least value that may be written, in mimctl's sign (injection positive).")
    max: float = Field(description="Greatest value that may be written.")
    direction: DirectionItem | None = Field(
        None,
        description="The register takes the size alone; this one takes the direction. It is written first, and only while the "
        "size is 0.",
    )


class SwitchItem(CommandItem):
    """A mode or an enable. Written only where the device has another word, unless it is to be repeated."""

    name: Text = Field(description="Name, for `write_policy.order`.")
    on: int = Field(description="Word while mimctl commands the device.")
    off: int | None = Field(None, description="Word when the device is given back. Default: it stays.")
    repeat: bool = Field(False, description="Written with every command and every sign of life.")
    when: Literal["before", "after"] = Field("after", description="Before the setpoints (a mode) or after them (an enable).")


class WritePolicyItem(Record):
    """How often, how finely and in which order a device is written."""

    min_interval_s: Annotated[float, Field(ge=0, le=86400), DURATION] = Field(0.0, description="Between two commands.")
    active_deadband_w: Annotated[float, Field(ge=0), POWER] = Field(0.0, description="Smaller changes are not written.")
    reactive_deadband_var: Annotated[float, Field(ge=0), REACTIVE_POWER] = Field(
        0.0, description="Smaller changes are not written."
    )
    daily_budget: int | None = Field(
        None, ge=1, description="Writes of persistent registers in a day (UTC), kept over restarts. Required where there are any."
    )
    order: list[Text] = Field(
        default_factory=list,
        description="Setpoints, switches, `reversion_action`, `reversion` and `heartbeat` in the order of writing. "
        "Default: switches that come before, reversion, setpoints, switches that come after, heartbeat.",
    )


class HeartbeatItem(CommandItem):
    """A register whose change proves that the controller lives."""

    words: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Two words that take turns. Default: it counts."
    )


class ReversionItem(CommandItem):
    """A timer after which the device gives a setpoint up. Never written as 0."""

    scale: float = Field(1.0, gt=0, description="Seconds per count.")
    min: float = Field(1.0, gt=0, description="Least time [s].")
    max: float | None = Field(None, description="Greatest time [s].")


class ReversionActionItem(CommandItem):
    """A register that says what happens then."""

    codes: dict[Annotated[ExpiryAction, Strict(False)], int] = Field(min_length=1, description="Word of each action.")


class FailsafeItem(Record):
    """What brings the device to its safe state when nobody commands it any more."""

    kind: Annotated[Failsafe, Strict(False)] = Field(
        description="reversion: a timer; heartbeat: a register that must change; repeat: setpoints must be repeated; none: nothing."
    )
    within_s: Annotated[float, Field(gt=0, le=86400), DURATION] | None = Field(
        None, description="How long the device waits, where that is not set by `reversion`."
    )
    action: Annotated[ExpiryAction, Strict(False)] | None = Field(None, description="What it does then, where that is not set.")
    heartbeat: HeartbeatItem | None = Field(None, description="The register that must change.")
    reversion: ReversionItem | None = Field(None, description="The timer.")
    reversion_action: ReversionActionItem | None = Field(None, description="The register that says what happens then.")
