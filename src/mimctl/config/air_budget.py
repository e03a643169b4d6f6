"""How much of the air the devices of a LoRaWAN link need, and how much radio law leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mimctl.model.airtime import CLASS_C_LOCK_S
from mimctl.model.lorawan import MulticastGroup, RadioPlan
from mimctl.model.payload import Frame, PayloadProfile
from mimctl.model.site import Site


@dataclass(frozen=True, slots=True)
class AirUser:
    """One commanded device.

    Args:
        command_every_s, report_every_s: least times [s].
        mim: its id, by which it is a member of a multicast group.
    """

    profile: PayloadProfile
    command_every_s: float
    report_every_s: float
    mim: str = ""


@dataclass(frozen=True, slots=True)
class GroupRound:
    """A multicast group: the frames that tell each of its devices once. Every gateway that serves it sends each of them.

    Args:
        devices: in it.
        every_s: as often as the most impatient of its devices is commanded [s].
        frames_s: on the air [s].
    """

    devices: int
    every_s: float
    frames_s: tuple[float, ...]
    downlink_dr: int

    @property
    def share(self) -> float:
        """Of the time of each gateway."""
        return sum(self.frames_s) / max(self.every_s, CLASS_C_LOCK_S)

    @property
    def line(self) -> str:
        frames = f"{len(self.frames_s)} frame{'s' * (len(self.frames_s) != 1)}"
        return f"{self.devices} by {frames} of up to {1000 * max(self.frames_s):.0f} ms at DR{self.downlink_dr}"


@dataclass(frozen=True, slots=True)
class AirBudget:
    """What a link needs.

    Args:
        setpoint_s, report_s: longest setpoint and report on the air; None = it does not fit into a frame at the data rate [s].
        downlink_share: of the time of each gateway that setpoints take; `uplink_share` of the time of one device that its
            reports take, the echo after each setpoint included.
        least_command_s: if every device were commanded so often, the law would be just kept [s].
        rounds: the multicast groups, each with its devices and the frames that tell all of them once [s].
    """

    plan: RadioPlan
    devices: int
    setpoint_s: float | None
    report_s: float | None
    downlink_share: float
    uplink_share: float
    least_command_s: float
    rounds: tuple[GroupRound, ...] = ()

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
        together = "".join(f", {each.line}" for each in self.rounds)
        head = f"air {link} {plan.region}: {self.devices} MIMs{together}"
        return [f"{head}; time on the air: {down} ({rules.downlink_share:.0%} {law}); {up} ({limit})"]


def air_budget(plan: RadioPlan, users: Iterable[AirUser], groups: Iterable[MulticastGroup] = ()) -> AirBudget | None:
    """What these devices need; None where nothing is commanded.

    Devices report at their interval, and once more after each setpoint, which is the echo. Those of a multicast group are told by
    as many frames as it takes; one that missed its frame is told by itself, which is not counted here, as no repetition is.
    """
    every = [user for user in users if user.profile.setpoint is not None]
    if not every:
        return None
    setpoints = [_setpoint_s(plan, user.profile) for user in every]
    reports = [_report_s(plan, user.profile) for user in every]
    found_rounds = [(group, found) for group in groups if (found := _round(plan, every, group)) is not None]
    rounds = tuple(found for _, found in found_rounds)
    together = {name for group, _ in found_rounds for name, _ in group.members}
    single = [(s or 0.0, u) for s, u in zip(setpoints, every, strict=True) if u.mim not in together]
    down = sum(s / max(u.command_every_s, CLASS_C_LOCK_S) for s, u in single) / plan.gateways
    up = max((r or 0.0) * (_rate(u.report_every_s) + _rate(u.command_every_s)) for r, u in zip(reports, every, strict=True))
    whole_s = sum(s for s, _ in single) / plan.gateways + sum(sum(each.frames_s) for each in rounds)
    return AirBudget(
        plan=plan,
        devices=len(every),
        setpoint_s=None if None in setpoints else max(s for s in setpoints if s is not None),
        report_s=None if None in reports else max(r for r in reports if r is not None),
        downlink_share=down + sum(each.share for each in rounds),
        uplink_share=up,
        least_command_s=whole_s / plan.rules.downlink_share,
        rounds=rounds,
    )


def _round(plan: RadioPlan, users: Iterable[AirUser], group: MulticastGroup) -> GroupRound | None:
    """What it takes to tell every device of a group once; None where a frame has no room for two of them."""
    names = {name for name, _ in group.members}
    own = [user for user in users if user.mim in names]
    frames = own[0].profile.group if own else None
    rate = plan.rules.downlinks[group.downlink_dr]
    room = 0 if frames is None else frames.capacity(rate.most_bytes)
    if frames is None or room < 2 or len(own) < 2:
        return None
    sizes = [min(room, len(own) - first) for first in range(0, len(own), room)]
    airtimes = tuple(rate.airtime_s(frames.length(size), uplink=False) for size in sizes)
    return GroupRound(len(own), min(user.command_every_s for user in own), airtimes, group.downlink_dr)


def site_budgets(site: Site, profiles: Mapping[str, PayloadProfile]) -> list[tuple[str, AirBudget]]:
    """By id, the LoRaWAN links that command something."""
    found = []
    for link in site.links:
        mims = [mim for mim in site.mims if mim.address.link == link.id and mim.address.profile in profiles]
        users = (AirUser(profiles[m.address.profile], m.latency.command_every_s, m.latency.report_every_s, m.id) for m in mims)
        budget = None if link.lorawan is None else air_budget(link.lorawan.plan, users, link.lorawan.multicast)
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
