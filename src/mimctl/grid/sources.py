"""What the states of the transfer devices mean for the nodes that they feed: how much may be drawn, how much may flow back.

Worked out from the state of a cycle alone: whoever narrows the plan and whoever judges it ask here, each for himself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState, TransferImage
from mimctl.model.transfer import Transfer, TransferState


@dataclass(frozen=True, slots=True, eq=False)
class SourceLimits:
    """Limits of one instant.

    Args:
        states: (T,) what each transfer device is believed to be in.
        phase_a: (N, 3) greatest phase current, inf where no transfer device says anything [A].
        min_import_w: (G,) least net import per phase of the guarded nodes, −inf likewise [W].
        cut_off: (N,) nodes behind a transfer device that is open.
        faulty: (N,) nodes behind one that is faulty.
    """

    states: tuple[TransferState, ...]
    phase_a: FloatArray
    min_import_w: FloatArray
    cut_off: BoolArray
    faulty: BoolArray


def source_limits(layout: SiteLayout, state: SiteState, max_age_s: float, now_s: float) -> SourceLimits | None:
    """None where the site has no transfer device.

    Args:
        max_age_s: what a device said longer ago counts as nothing [s].
        now_s: monotonic [s].
    """
    devices = layout.site.transfers
    if not devices:
        return None
    phase_a = np.full((len(layout.nodes), 3), np.inf)
    least_w = np.full(len(layout.guarded), -np.inf)
    cut_off, faulty = (np.zeros(len(layout.nodes), dtype=np.bool_) for _ in range(2))
    states = believed_states(devices, state, max_age_s, now_s)
    for t, (device, now) in enumerate(zip(devices, states, strict=True)):
        available_va, back_w = _tightest(device, now, _told_va(state, t, now))
        for node, share in device.where:
            n = layout.node_index[node]
            # one phase of a three-phase source gives a third of it
            phase_a[n] = np.minimum(phase_a[n], share * available_va / 3 / layout.voltage_ln_v[n])
            at = layout.guarded == n
            # where the device stands above the zone, what may flow back there may all be somebody else's
            least_w[at] = np.maximum(least_w[at], 0.0 if device.places and np.isfinite(back_w) else -back_w)
            cut_off |= layout.below[n] & (now is TransferState.OPEN)
            faulty |= layout.below[n] & (now is TransferState.FAULT)
    return SourceLimits(states, phase_a, least_w, cut_off, faulty)


def believed_states(devices: tuple[Transfer, ...], state: SiteState, max_age_s: float, now_s: float) -> tuple[TransferState, ...]:
    """(T,) `unknown` where nothing fresh was said. A fixed state is always fresh."""
    return tuple(_believed(device, state, t, max_age_s, now_s) for t, device in enumerate(devices))


def _believed(device: Transfer, state: SiteState, t: int, max_age_s: float, now_s: float) -> TransferState:
    if device.fixed is not None:
        return device.fixed
    image = state.transfers
    if image is None or image.quality[t] == Quality.BAD:
        return TransferState.UNKNOWN
    fresh = now_s - image.taken_at_s[t] <= max_age_s
    return TransferState(int(image.state[t])) if fresh else TransferState.UNKNOWN


def _told_va(state: SiteState, t: int, now: TransferState) -> float:
    """What the device itself says to be available; inf where it says nothing that may be believed [VA]."""
    if state.transfers is None or not now.is_source:
        return np.inf
    told = float(state.transfers.available_va[t])
    return told if np.isfinite(told) else np.inf


def _tightest(device: Transfer, now: TransferState, told_va: float) -> tuple[float, float]:
    """Available power [VA] and what may flow back [W per phase] of the worst source that may be feeding; inf = no limit of its own.

    What is open feeds nothing; nothing may flow back into it, and what still seems to be drawn is not to be limited by MIMs.
    """
    possible = device.possible(now)
    if not possible:
        return np.inf, 0.0
    available = [np.inf if source.available_va is None else source.available_va for source in possible]
    back = [np.inf if source.reverse_power_limit_w is None else source.reverse_power_limit_w for source in possible]
    return min(*available, told_va), min(back)


def newest_transfers(devices: tuple[Transfer, ...], states: Sequence[SiteState]) -> TransferImage:
    """What each device of a site said last to any of those who look at it, each of them at some of the devices."""
    count = len(devices)
    state, quality = np.zeros(count, dtype=np.int64), np.full(count, int(Quality.BAD))
    taken_at_s, available_va, frequency_hz = (np.full(count, np.nan) for _ in range(3))
    place = {device.id: t for t, device in enumerate(devices)}
    for seen in states:
        image = seen.transfers
        if image is None:
            continue
        for own, device in enumerate(seen.layout.site.transfers):
            t = place[device.id]
            if not image.taken_at_s[own] > np.nan_to_num(taken_at_s[t], nan=-np.inf):
                continue
            state[t], quality[t], taken_at_s[t] = image.state[own], image.quality[own], image.taken_at_s[own]
            available_va[t], frequency_hz[t] = image.available_va[own], image.frequency_hz[own]
    return TransferImage(frozen(state), frozen(quality), frozen(taken_at_s), frozen(available_va), frozen(frequency_hz))


def described(limits: SourceLimits, layout: SiteLayout) -> Iterator[tuple[str, str]]:
    """(node, sentence) for every transfer device that is not on its normal source."""
    for device, now in zip(layout.site.transfers, limits.states, strict=True):
        for node, _ in device.where:
            if now is TransferState.NORMAL:
                continue
            n = layout.node_index[node]
            yield node, _sentence(device, now, float(limits.phase_a[n, 0]))


def _sentence(device: Transfer, now: TransferState, phase_a: float) -> str:
    if now is TransferState.OPEN:
        return f"{device.id} is open: nothing is fed, and nothing may be energised behind it"
    what = f"{device.id} is on {now.word}"
    if now in (TransferState.UNKNOWN, TransferState.FAULT):
        what = f"the state of {device.id} is {now.word}: the worst of its sources is taken for granted"
    return what if np.isinf(phase_a) else f"{what}; at most {phase_a:.1f} A a phase"
