"""What a device on LoRaWAN held before we ever told it anything: asked for, and not waited for without end."""

from __future__ import annotations

from mimctl.model.clock import Clock
from mimctl.model.protocols import HeldSetpoint, Recall
from mimctl.wire.payload import Reading

#: `command_status` of a device whose setpoint has run out
REVERTED = 3
#: a question may be lost: asked again so much later [s]
ASK_EVERY_S = 20.0
#: a setpoint that is not known by then is nobody's, and is ended [s]
WAIT_S = 90.0


class HeldBefore:
    """Of one device, from its first report until it is told something by us.

    Args:
        can_ask: its profile says how; else a setpoint in force stays unknown.
    """

    def __init__(self, can_ask: bool, clock: Clock) -> None:
        self._can_ask, self._clock = can_ask, clock
        self._over = False
        self._since_s: float | None = None
        self._asked_at_s: float | None = None
        #: what it said that it holds
        self.held: HeldSetpoint | None = None

    @property
    def state(self) -> Recall:
        if self._over or self._since_s is None:
            return Recall.SETTLED
        late = self._clock.monotonic_s() - self._since_s > WAIT_S
        return Recall.UNKNOWN if late or not self._can_ask else Recall.ASKED

    def wants_to_ask(self) -> bool:
        """Whether a question is due; it counts as asked then."""
        now_s = self._clock.monotonic_s()
        due = self._asked_at_s is None or now_s - self._asked_at_s >= ASK_EVERY_S
        if self.state is not Recall.ASKED or not due:
            return False
        self._asked_at_s = now_s
        return True

    def hear(self, reading: Reading, ports: int) -> None:
        """Take a report in that tells the number in force."""
        if self._over:
            return
        if reading.frame.tells_held:
            remaining_s = reading.get("watchdog_remaining")
            told = told_setpoint(reading, ports, "setpoint_")
            # one without an end, or of other ports, is none that may be taken over
            if told is not None and remaining_s is not None:
                self.held = told if remaining_s > 0 else None
                self._over = True
        elif not reading.get("sequence_ack") or reading.get("command_status") == REVERTED:
            self._since_s, self.held = None, None  # nothing is in force
        elif self._since_s is None:
            self._since_s = self._clock.monotonic_s()

    def settle(self) -> None:
        """It was told something by us: what was before does not matter any more."""
        self._over, self.held = True, None


def told_setpoint(reading: Reading | None, ports: int, prefix: str = "") -> HeldSetpoint | None:
    """The setpoint that a frame carries, vars that it does not carry as 0; None where a port's power is missing."""
    if reading is None:
        return None
    watts = [reading.get(f"{prefix}active_power.port{n + 1}") for n in range(ports)]
    vars_ = (reading.get(f"{prefix}reactive_power.port{n + 1}") for n in range(ports))
    known = [w for w in watts if w is not None]
    return HeldSetpoint(tuple(known), tuple(q or 0.0 for q in vars_)) if len(known) == ports else None
