"""Who may move with the source as it is: rules on dead buses, open switches, faults, frequency, and voltages not measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimctl.model.layout import BoolArray
from mimctl.model.transfer import TransferState
from mimctl.safety.case import Case
from mimctl.safety.leave import Interlock, Leave, nodes_over

#: a MIM's own voltage proves its bus alive for so many of the periods in which it reports; its report may be used for longer
_PROOF_PERIODS = 1.5


def dead_bus(case: Case) -> Iterator[Interlock]:
    """Never energise a dead bus: some conductor on the way from the source to the port, or the port itself, has no voltage."""
    ratings, limit = case.ratings, case.settings.dead_bus_pu
    layout, evidence = ratings.layout, case.evidence
    voltage_pu = evidence.port_voltage_pu
    at_port = voltage_pu < limit
    dead = (evidence.voltage_pu < limit) & layout.phase_present
    if not (at_port.any() or dead.any()):
        return
    unfed = ratings.supply @ dead.reshape(-1).astype(np.float64) > 0
    if case.fed is not None:  # what is above a bus that is formed feeds nobody on it
        inside = ratings.supply @ (dead & case.fed.nodes[:, None]).reshape(-1).astype(np.float64) > 0
        unfed = np.where(case.fed.followers[layout.port_mim], inside, unfed)

    def sentence(m: int) -> str:
        ports = layout.ports_of_mim[m]
        if at_port[ports].any():
            return f"dead bus: {np.nanmin(voltage_pu[ports]):.0%} of nominal voltage at its port, {limit:.0%} needed"
        return f"dead bus: no voltage at {nodes_over(case, m, np.logical_or.reduce(dead, axis=1))}"

    yield Interlock(ratings.any_of(at_port | unfed), Leave.RELEASE, "interlock.dead_bus", sentence)


def source_open(case: Case) -> Iterator[Interlock]:
    """Never energise what a transfer device or a contactor has cut off, whatever voltage is measured there, unless it is formed."""
    if case.sources is None or not case.sources.cut_off.any():
        return
    cut_off = case.sources.cut_off
    flagged = case.ratings.any_of(cut_off[case.ratings.layout.port_node])
    if case.fed is not None:
        flagged = flagged & ~case.fed.followers
    yield Interlock(
        flagged, Leave.RELEASE, "interlock.source_open", lambda m: f"{_switches_over(case, m)} is open: nothing feeds its bus"
    )


def source_faulty(case: Case) -> Iterator[Interlock]:
    if case.sources is None or not case.sources.faulty.any():
        return
    flagged = case.ratings.any_of(case.sources.faulty[case.ratings.layout.port_node])
    yield Interlock(flagged, Leave.SHRINK, "interlock.source_faulty", lambda m: f"{_switches_over(case, m)} reports a fault")


def _switches_over(case: Case, m: int) -> str:
    """The transfer devices over the ports of one MIM that are open or faulty."""
    layout, sources = case.ratings.layout, case.sources
    over: BoolArray = np.asarray(layout.below[:, layout.port_node[layout.ports_of_mim[m]]].any(axis=1))
    wrong = (TransferState.OPEN, TransferState.FAULT)
    states = () if sources is None else sources.states
    pairs = zip(layout.site.transfers, states, strict=True)
    found = [d.id for d, now in pairs if now in wrong and any(over[layout.node_index[node]] for node, _ in d.where)]
    return ", ".join(found)


def off_frequency(case: Case) -> Iterator[Interlock]:
    """A source whose frequency has left its band is lost, or is about to be: nobody holds on to it."""
    frequency_hz = case.state.nodes.frequency_hz
    if frequency_hz is None:
        return
    ratings, site = case.ratings, case.ratings.layout.site
    band, usable = site.control.grid, case.evidence.node_usable
    share = frequency_hz / site.frequency_hz
    wrong: BoolArray = usable & ((share < band.min_frequency_pu) | (share > band.max_frequency_pu))
    if not wrong.any():
        return
    flagged = ratings.touches.T @ wrong.astype(np.float64) > 0
    if case.fed is not None:
        flagged = np.where(case.fed.followers, ratings.touches.T @ (wrong & case.fed.nodes).astype(np.float64) > 0, flagged)

    def sentence(m: int) -> str:
        return f"the frequency at {nodes_over(case, m, wrong)} is out of band: the grid is lost"

    yield Interlock(flagged, Leave.RELEASE, "interlock.frequency", sentence)


def voltage_unknown(case: Case) -> Iterator[Interlock]:
    """A bus is taken for alive only where somebody measures its voltage, and has measured it lately."""
    ratings, limit = case.ratings, case.settings.dead_bus_pu
    recent_s = np.maximum(case.evidence.max_age_s, _PROOF_PERIODS * ratings.report_every_s)
    recent: BoolArray = case.evidence.mim_age_s <= recent_s
    alive = (case.evidence.port_voltage_pu >= limit) & recent[ratings.layout.port_mim]
    if alive.all():
        return
    at_node = case.evidence.voltage_pu[ratings.layout.port_node]
    alive |= ((at_node >= limit) | ~ratings.port_phases).all(axis=1)
    sentence = "no voltage is measured at its ports: the bus may be dead"
    yield Interlock(ratings.any_of(~alive), Leave.HOLD, "interlock.voltage_unknown", lambda _: sentence)
