"""How much of the air the devices of a LoRaWAN link need, and how much radio law leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mimctl.model.airtime import CLASS_C_LOCK_S
from mimctl.model.lorawan import RadioPlan
from mimctl.model.payload import Frame, PayloadProfile
from mimctl.model.site import Site


@dataclass(frozen=True, slots=True)
class AirUser:
    """One commanded device.

    Args:
        command_every_s, report_every_s: least times [s].
    """

    profile: PayloadProfile
    command_every_s: float
    report_every_s: float


@dataclass(frozen=True, slots=True)
class AirBudget:
    """What a link needs.

    Args:
        setpoint_s, report_s: longest setpoint and report on the air; None = it does not fit into a frame at the data rate [s].
        downlink_share: of the time of each gateway that setpoints take; `uplink_share` of the time of one device that its
            reports take, the echo after each setpoint included.
        least_command_s: if every device were commanded so often, the law would be just kept [s].
    """

    plan: RadioPlan
    devices: int
    setpoint_s: float | None
    report_s: float | None
    downlink_share: float
    uplink_share: float
    least_command_s: float

    @property
    def downlinks_fit(self) -> bool:
        return self.setpoint_s is not None and self.downlink_share <= self.plan.rules.downlink_share

    @property
    def uplinks_fit(self) -> bool:
        limit = self.plan.rules.uplink_share
        return self.report_s is not None and (limit is None or self.uplink_share <= limit)

    @property
    def dwell_kept(self) -> bool:
        most_s = self.plan.rules.dwell_s
        return most_s is None or self.report_s is None or self.plan.uplink.bandwidth_hz >= 500_000 or self.report_s <= most_s

    def lines(self, link: str) -> list[str]:
        """For people."""
        rules, plan = self.plan.rules, self.plan
        if self.setpoint_s is None or self.report_s is None:
            return []
        law = "by law" if rules.downlink_law else "so that it still hears"
        gateways = f"each of {plan.gateways} gateways" if plan.gateways > 1 else "the gateway"
        down = f"setpoints {1000 * self.setpoint_s:.0f} ms at DR{plan.downlink_dr}, {self.downlink_share:.2%} of {gateways}"
        limit = "no limit but the dwell time" if rules.uplink_share is None else f"{rules.uplink_share:.0%} by law"
        up = f"reports {1000 * self.report_s:.0f} ms at DR{plan.uplink_dr}, {self.uplink_share:.2%} of a device"
        head = f"air {link} {plan.region}: {self.devices} MIMs"
        return [f"{head}; time on the air: {down} ({rules.downlink_share:.0%} {law}); {up} ({limit})"]


def air_budget(plan: RadioPlan, users: Iterable[AirUser]) -> AirBudget | None:
    """What these devices need; None where nothing is commanded.

    Devices report at their interval, and once more after each setpoint, which is the echo.
    """
    every = [user for user in users if user.profile.setpoint is not None]
    if not every:
        return None
    setpoints = [_setpoint_s(plan, user.profile) for user in every]
    reports = [_report_s(plan, user.profile) for user in every]
    down = sum((s or 0.0) / max(u.command_every_s, CLASS_C_LOCK_S) for s, u in zip(setpoints, every, strict=True)) / plan.gateways
    up = max((r or 0.0) * (_rate(u.report_every_s) + _rate(u.command_every_s)) for r, u in zip(reports, every, strict=True))
    return AirBudget(
        plan=plan,
        devices=len(every),
        setpoint_s=None if None in setpoints else max(s for s in setpoints if s is not None),
        report_s=None if None in reports else max(r for r in reports if r is not None),
        downlink_share=down,
        uplink_share=up,
        least_command_s=sum(s or 0.0 for s in setpoints) / plan.gateways / plan.rules.downlink_share,
    )


def site_budgets(site: Site, profiles: Mapping[str, PayloadProfile]) -> list[tuple[str, AirBudget]]:
    """By id, the LoRaWAN links that command something."""
    found = []
    for link in site.links:
        mims = [mim for mim in site.mims if mim.address.link == link.id and mim.address.profile in profiles]
        users = (AirUser(profiles[m.address.profile], m.latency.command_every_s, m.latency.report_every_s) for m in mims)
        budget = None if link.lorawan is None else air_budget(link.lorawan.plan, users)
        if budget is not None:
            found.append((link.id, budget))
    return found


def _rate(every_s: float) -> float:
    return 1 / every_s if every_s > 0 else float("inf")


def _setpoint_s(plan: RadioPlan, profile: PayloadProfile) -> float | None:
    frame = profile.setpoint
    if frame is None or frame.length > plan.downlink.most_bytes:
        return None
    return plan.downlink.airtime_s(frame.length, uplink=False)


def _report_s(plan: RadioPlan, profile: PayloadProfile) -> float | None:
    frame = largest_report(plan, profile)
    return None if frame is None else plan.uplink.airtime_s(frame.length, uplink=True)


def largest_report(plan: RadioPlan, profile: PayloadProfile) -> Frame | None:
    """The frame that says most and fits at the data rate: what a device with several sends by itself; None where none fits."""
    fitting = [frame for frame in profile.uplinks if frame.length <= plan.uplink.most_bytes and not frame.tells_held]
    return max(fitting, key=lambda frame: frame.length, default=None)
