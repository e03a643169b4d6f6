"""LoRaWAN links: what belongs to them, what their devices can be asked, and whether radio law leaves room for it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mimctl.config.air_budget import AirBudget, AirUser, air_budget
from mimctl.config.build import build_latency, plain_eui
from mimctl.config.build_links import multicast_groups, radio_plan
from mimctl.config.checks.links import on_loopback
from mimctl.config.draft import Draft
from mimctl.config.quoting import count
from mimctl.config.schema_devices import DeviceItem, LinkItem, MimItem
from mimctl.config.wording import did_you_mean
from mimctl.model.address import SUNSPEC
from mimctl.model.airtime import CLASS_C_LOCK_S, RULES
from mimctl.model.latency import LatencyClass
from mimctl.model.link import Link, LinkType
from mimctl.model.problem import Problem, error, warning
from mimctl.model.site import ExpiryAction

if TYPE_CHECKING:
    from mimctl.model.payload import PayloadProfile

_LONGEST_VALIDITY_S = 65535


def check_links(draft: Draft) -> Iterator[Problem]:
    """`lorawan.link`: a LoRaWAN link without its network server, or a network server on another link."""
    for path, link in draft.links():
        if link.type is LinkType.LORAWAN and link.lorawan is None:
            yield error("lorawan.link", path, "a LoRaWAN link needs its network server: 'lorawan: {application: …}'")
        if link.type is not LinkType.LORAWAN and link.lorawan is not None:
            yield error("lorawan.link", f"{path}.lorawan", f"a link of the type {link.type.value} has no network server")
        if link.type is LinkType.LORAWAN and link.tls is not None and link.tls.server_name is not None:
            text = "the name of a broker is its host: name the host as its certificate does, and drop 'server_name'"
            yield error("lorawan.link", f"{path}.tls.server_name", text)
        if link.type is LinkType.LORAWAN and link.lorawan is not None:
            yield from _rates(path, link)


def _rates(path: str, link: LinkItem) -> Iterator[Problem]:
    item = link.lorawan
    if item is None:
        return
    rules = RULES[item.region]
    for key, given, known in (("uplink_dr", item.uplink_dr, rules.uplinks), ("downlink_dr", item.downlink_dr, rules.downlinks)):
        if given is not None and given not in known:
            text = f"{item.region} has {min(known)} to {max(known)}, not {given}"
            yield error("lorawan.link", f"{path}.lorawan.{key}", text)


def check_open_links(draft: Draft) -> Iterator[Problem]:
    """`lorawan.plain`: events or setpoints that anybody could read or make; `lorawan.file`: no token or an open one."""
    for path, link in draft.links():
        item = link.lorawan
        if item is None:
            continue
        if link.tls is None and not link.isolated and not on_loopback(link):
            text = "events come without TLS: add 'tls:', or say 'isolated: true' where nobody else can reach its network"
            yield warning("lorawan.plain", path, text)
        api_inside = Link("", LinkType.LORAWAN, item.api_host or link.host or "").on_loopback
        if item.api_ca is None and not link.isolated and not api_inside:
            text = "the API token goes without TLS: add 'api_ca', or say 'isolated: true' where nobody else can reach its network"
            yield warning("lorawan.plain", f"{path}.lorawan", text)
        if item.token_file is not None:
            yield from _token_file(f"{path}.lorawan.token_file", (draft.folder / item.token_file).expanduser())


def _token_file(path: str, file: Path) -> Iterator[Problem]:
    """A token that is missing, or that every user of this machine could use."""
    if not file.is_file():
        yield warning("lorawan.file", path, f"there is no file '{file}'")
    elif file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning("lorawan.file", path, f"'{file}' holds a token that every user of this machine can read: chmod o-rw {file}")


def check_devices(draft: Draft) -> Iterator[Problem]:
    """`device.eui`: a radio device without its EUI-64, one used twice, or one where there is no radio."""
    first: dict[tuple[str, str], str] = {}
    for path, device in chain(draft.meters(), draft.mims()):
        if device.link not in draft.radio_links:
            if device.eui is not None and device.link in draft.known["links"]:
                yield error("device.eui", f"{path}.eui", f"the link '{device.link}' is no radio: name the 'unit' instead")
            continue
        if device.eui is None:
            yield error("device.eui", path, "a device on a radio link needs its EUI-64: 'eui: 70b3d57ed0000001'")
            continue
        at = (device.link, plain_eui(device.eui))
        if at in first:
            yield error("device.eui", f"{path}.eui", f"{device.eui} is already '{first[at]}'")
        first.setdefault(at, device.id)


def check_mims(draft: Draft) -> Iterator[Problem]:
    """`lorawan.mim`: what a MIM without a wire cannot do."""
    for path, mim in _mims(draft):
        latency = build_latency(mim.latency)
        if latency.kind is not LatencyClass.SLOW:
            text = "setpoints by LoRaWAN take seconds and reports minutes: say 'latency: {class: slow, …}'"
            yield error("lorawan.mim", path, text)
        if mim.expiry_action is not ExpiryAction.ZERO:
            yield error("lorawan.mim", f"{path}.expiry_action", "a setpoint by LoRaWAN carries none: its device goes to 'zero'")
        if mim.validity_s > _LONGEST_VALIDITY_S:
            yield error("lorawan.mim", f"{path}.validity_s", f"a setpoint by LoRaWAN is valid for {_LONGEST_VALIDITY_S} s at most")
        if mim.harmonic_filter is not None:
            yield error("lorawan.mim", f"{path}.harmonic_filter", "a setpoint by LoRaWAN carries no harmonic shares: leave it out")
        if latency.kind is LatencyClass.SLOW and latency.command_every_s < CLASS_C_LOCK_S:
            text = f"the network server waits {CLASS_C_LOCK_S:g} s between two frames to a device: at least as much"
            yield error("lorawan.mim", f"{path}.latency.command_every_s", text)


def check_profiles(draft: Draft) -> Iterator[Problem]:
    """`lorawan.profile`, and every problem inside the profiles that are named."""
    judged: dict[str, PayloadProfile | None] = {}
    for path, device in _devices(draft):
        if device.profile == SUNSPEC:
            yield error("lorawan.profile", path, "a device on a LoRaWAN link needs its payloads described: 'profile: mimctl/mim'")
            continue
        if device.profile not in judged:
            judged[device.profile] = yield from _judged(draft, device.profile, path)
        profile = judged[device.profile]
        if profile is None or not isinstance(device, MimItem):
            continue
        if profile.setpoint is None:
            text = f"the profile '{profile.id}' has no 'setpoint', so nothing can be commanded: move this entry to 'meters:'"
            yield error("mim.no_setpoints", f"{path}.profile", text)
        elif profile.ports != len(device.ports):
            text = f"the profile '{profile.id}' commands {count(profile.ports, 'port')}, not {len(device.ports)}"
            yield error("mim.profile_ports", f"{path}.ports", text)


def _judged(draft: Draft, name: str, path: str) -> Generator[Problem, None, PayloadProfile | None]:
    from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES

    file = PAYLOAD_PROFILES.find(name, draft.folder)
    if file is None:
        hint = did_you_mean(name, PAYLOAD_PROFILES.known(draft.folder))
        text = f"there is no profile '{name}' of payloads{hint}: put {name}.yaml into device_profiles/lorawan/ beside the site file"
        yield error("lorawan.profile", f"{path}.profile", text)
        return None
    profile, problems = PAYLOAD_PROFILES.judge(file)
    yield from problems
    return profile


def check_air(draft: Draft) -> Iterator[Problem]:
    """`lorawan.air`: more on the air than radio law, or a gateway, can carry."""
    for path, link in draft.links():
        item = link.lorawan
        if item is None or item.uplink_dr not in RULES[item.region].uplinks:
            continue
        rates = {item.downlink_dr, *(group.dr for group in item.multicast)} - {None}
        if rates - RULES[item.region].downlinks.keys():
            continue
        users = list(_users(draft, link.id))
        budget = air_budget(radio_plan(item), users, multicast_groups(item))
        if budget is not None:
            yield from _air_problems(path, budget, users)


def _users(draft: Draft, link: str) -> Iterator[AirUser]:
    for _, mim in _mims(draft):
        profile = draft.payloads.get(mim.profile)
        if mim.link == link and profile is not None:
            latency = build_latency(mim.latency)
            yield AirUser(profile, latency.command_every_s, latency.report_every_s, mim.id)


def _air_problems(path: str, budget: AirBudget, users: list[AirUser]) -> Iterator[Problem]:
    plan, rules = budget.plan, budget.plan.rules
    if budget.setpoint_s is None:
        text = f"a setpoint does not fit into the {plan.downlink.most_bytes} bytes of DR{plan.downlink_dr}: a faster 'downlink_dr'"
        yield error("lorawan.air", f"{path}.lorawan", text)
    elif not budget.downlinks_fit:
        law = "radio law allows" if rules.downlink_law else "it can send and still listen for"
        least_s = budget.least_command_s
        text = (
            f"setpoints of {1000 * budget.setpoint_s:.0f} ms (DR{plan.downlink_dr}) to {count(budget.devices, 'MIM')} take "
            f"{budget.downlink_share:.1%} of the time of {'each' if plan.gateways > 1 else 'the'} gateway, {law} "
            f"{rules.downlink_share:.0%}: command them each {least_s:.0f} s ('latency: {{command_every: …}}'), or have a faster "
            f"'downlink_dr', more gateways or fewer MIMs"
        )
        yield error("lorawan.air", f"{path}.lorawan", text)
    if budget.report_s is None:
        text = f"no report fits into the {plan.uplink.most_bytes} bytes of DR{plan.uplink_dr}: a faster 'uplink_dr'"
        yield error("lorawan.air", f"{path}.lorawan", text)
    elif not budget.dwell_kept:
        most_ms, report_ms = 1000 * (rules.dwell_s or 0.0), 1000 * budget.report_s
        text = f"reports of {report_ms:.0f} ms (DR{plan.uplink_dr}) are longer than the {most_ms:.0f} ms that {plan.region} allows"
        yield error("lorawan.air", f"{path}.lorawan", f"{text}: a faster 'uplink_dr'")
    elif not budget.uplinks_fit and rules.uplink_share is not None:
        often_s = min(user.report_every_s for user in users)
        text = (
            f"reports of {1000 * budget.report_s:.0f} ms (DR{plan.uplink_dr}) each {often_s:g} s, and the echo after each "
            f"setpoint, take {budget.uplink_share:.1%} of the time of a device, radio law allows {rules.uplink_share:.0%}: "
            f"report and command more seldom ('latency: {{report_every: …, command_every: …}}'), or have a faster 'uplink_dr'"
        )
        yield error("lorawan.air", f"{path}.lorawan", text)


def _lorawan_links(draft: Draft) -> set[str]:
    return {link.id for _, link in draft.links() if link.type is LinkType.LORAWAN}


def _mims(draft: Draft) -> Iterator[tuple[str, MimItem]]:
    links = _lorawan_links(draft)
    return ((path, mim) for path, mim in draft.mims() if mim.link in links)


def _devices(draft: Draft) -> Iterator[tuple[str, DeviceItem]]:
    links = _lorawan_links(draft)
    every: Iterator[tuple[str, DeviceItem]] = chain(draft.meters(), draft.mims())
    return ((path, device) for path, device in every if device.link in links)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_links,
    check_open_links,
    check_devices,
    check_mims,
    check_profiles,
    check_air,
)
