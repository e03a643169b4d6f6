"""A checked site file to `model.site.Site`: defaults, inheritance, order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mimctl.config.build_islands import islands
from mimctl.config.build_links import build_link
from mimctl.config.build_rules import balance_rules, restraints
from mimctl.config.build_transfers import transfers
from mimctl.config.draft import DEFAULT_ZONE, Draft, port_of
from mimctl.config.schema import GridItem, LoadItem, TwinItem
from mimctl.config.schema_devices import BatteryItem, DeviceItem, LatencyItem, MeterItem, MimItem
from mimctl.config.schema_grid import CableItem, NodeItem, TransformerItem
from mimctl.config.schema_harmonics import HarmonicFilterItem, HarmonicLimitsItem
from mimctl.model import node as node_model
from mimctl.model import site as m
from mimctl.model.address import DeviceAddress
from mimctl.model.harmonics import HarmonicFilter, HarmonicLimits
from mimctl.model.latency import TYPICAL, Latency
from mimctl.model.phases import PHASES


def build_site(draft: Draft, file: Path) -> m.Site:
    """The site of a draft that no check found an error in."""
    head, parts = draft.file.site, draft.file
    zones = _zones(draft)
    return m.Site(
        id=head.id,
        name=head.name or head.id,
        timezone=head.timezone,
        frequency_hz=head.frequency_hz,
        rotation=head.rotation,
        links=tuple(build_link(item, draft.folder) for item in parts.links),
        feeds=tuple(
            node_model.Feed(f.id, f.node, f.source, f.reverse_power_limit_w, f.short_circuit_va, f.rx_ratio) for f in parts.feeds
        ),
        nodes=_nodes(draft),
        meters=tuple(_meter(item) for item in parts.meters),
        mims=tuple(_mim(item) for item in parts.mims),
        batteries=tuple(_battery(item) for item in parts.batteries),
        zones=zones,
        rules=balance_rules(draft, tuple(zone.id for zone in zones)),
        control=_control(draft),
        twin=_twin(parts.twin),
        file=file,
        restraints=restraints(draft),
        transfers=transfers(draft),
        redundant=tuple((a, b) for a, b in parts.redundant),
        islands=islands(draft),
    )


def _nodes(draft: Draft) -> tuple[node_model.Node, ...]:
    """Parents first; the weights of all nodes sum to one."""
    total = sum(item.balance_weight for item in draft.file.nodes)
    return tuple(_node(draft, draft.tree.nodes[node], total) for node in draft.tree.order)


def _node(draft: Draft, item: NodeItem, total_weight: float) -> node_model.Node:
    supply = draft.tree.supply[item.id]
    neutral_rating_a = item.neutral_rating_a if item.neutral_rating_a is not None else item.rating_a
    return node_model.Node(
        id=item.id,
        kind=item.kind,
        parent=item.parent,
        rating_a=item.rating_a,
        voltage_ln_v=supply.voltage_ln_v,
        omega=item.balance_weight / total_weight,
        neutral_rating_a=neutral_rating_a if supply.neutral else None,
        continuous_factor=item.continuous_factor,
        phases=supply.phases,
        cable=None if item.cable is None else _cable(item.cable),
        transformer=None if item.transformer is None else _transformer(item.transformer),
        harmonic_limits=None if item.harmonic_limits is None else _limits(item.harmonic_limits),
        own_load=item.own_load,
    )


def _limits(item: HarmonicLimitsItem) -> HarmonicLimits:
    return HarmonicLimits(item.thd_v_pct, item.tdd_pct, item.isc_il, item.demand_a)


def _cable(item: CableItem) -> node_model.Cable:
    if item.r_ohm is not None and item.x_ohm is not None:
        r_ohm, x_ohm = item.r_ohm, item.x_ohm
    else:
        km = (item.length_m or 0.0) / 1000
        r_ohm, x_ohm = km * (item.r_per_km_ohm or 0.0), km * (item.x_per_km_ohm or 0.0)
    return node_model.Cable(r_ohm, x_ohm, item.r_neutral_ohm, item.x_neutral_ohm)


def _transformer(item: TransformerItem) -> node_model.Transformer:
    winding = node_model.Winding.DYN if item.group.startswith(node_model.Winding.DYN) else node_model.Winding.YNYN
    return node_model.Transformer(
        winding=winding,
        rated_va=item.rated_va,
        short_circuit_voltage_pct=item.short_circuit_voltage_pct,
        copper_loss_w=item.copper_loss_w,
        no_load_loss_w=item.no_load_loss_w,
        clock=int(item.group.removeprefix(winding)),
    )


def _address(item: DeviceItem) -> DeviceAddress:
    instances = tuple(item.instances) if isinstance(item, MeterItem) else ()
    return DeviceAddress(item.link, item.unit, item.profile, item.base, instances, plain_eui(item.eui))


def plain_eui(text: str | None) -> str:
    """16 lower-case digits, whatever stands between them."""
    return "" if text is None else text.replace(":", "").replace("-", "").lower()


def _meter(item: MeterItem) -> m.Meter:
    l1, l2, l3 = item.phase_map or PHASES
    return m.Meter(item.id, item.node, _address(item), (l1, l2, l3), item.sign)


def _mim(item: MimItem) -> m.Mim:
    losses = m.LossModel(item.losses.standby_w, item.losses.linear_pct / 100, item.losses.quadratic_per_va)
    return m.Mim(
        id=item.id,
        address=_address(item),
        ports=tuple(_port(item, i) for i in range(len(item.ports))),
        neutral_rating_a=item.neutral_rating_a,
        ramp_w_per_s=float("inf") if item.ramp_w_per_s is None else item.ramp_w_per_s,
        losses=losses,
        validity_s=item.validity_s,
        expiry_action=item.expiry_action,
        response_s=item.response_s,
        second_master=item.second_master,
        authority=None if item.authority_pct is None else item.authority_pct / 100,
        harmonic_filter=None if item.harmonic_filter is None else _filter(item.harmonic_filter),
        latency=build_latency(item.latency),
    )


def build_latency(item: LatencyItem) -> Latency:
    """What the class means, but for what the file says."""
    given = {k: v for k in ("delay_s", "command_every_s", "report_every_s") if (v := getattr(item, k)) is not None}
    return replace(TYPICAL[item.kind], **given)


def _filter(item: HarmonicFilterItem) -> HarmonicFilter:
    orders = tuple(sorted(set(item.orders)))
    return HarmonicFilter(orders, item.timing_error_s, item.response_s, item.reserve_pct / 100)


def _port(item: MimItem, index: int) -> m.PortSpec:
    node, connection, rating_va = port_of(item, item.ports[index])
    if node is None or rating_va is None:
        raise ValueError(f"port {index} of {item.id} is incomplete: the checks must run first")
    return m.PortSpec(node, connection, rating_va)


def _battery(item: BatteryItem) -> m.Battery:
    return m.Battery(
        id=item.id,
        mim=item.mim,
        capacity_wh=item.capacity_wh,
        max_charge_w=item.max_charge_w,
        max_discharge_w=item.max_discharge_w,
        reserve_pct=item.reserve_pct,
        max_soc_pct=item.max_soc_pct,
        round_trip_efficiency=item.round_trip_efficiency_pct / 100,
    )


def _zones(draft: Draft) -> tuple[m.Zone, ...]:
    if draft.file.zones:
        return tuple(m.Zone(z.id, tuple(z.heads), z.cycle_s) for z in draft.file.zones)
    return (m.Zone(DEFAULT_ZONE, tuple(n for n in draft.tree.order if draft.tree.nodes[n].parent is None)),)


def _control(draft: Draft) -> m.ControlSettings:
    item = draft.file.control
    return m.ControlSettings(
        site_period_s=item.site_period_s,
        max_data_age_s=item.max_data_age_s,
        hold_cycles=item.hold_cycles,
        min_voltage_pu=item.min_voltage_pct / 100,
        max_voltage_pu=item.max_voltage_pct / 100,
        loads_feed_back=item.loads_feed_back,
        grid=_grid(item.grid),
        even_feeds=item.even_feeds_pct / 100,
    )


def _grid(item: GridItem) -> m.GridBand:
    return m.GridBand(
        min_voltage_pu=item.min_voltage_pct / 100,
        max_voltage_pu=item.max_voltage_pct / 100,
        min_frequency_pu=item.min_frequency_pct / 100,
        max_frequency_pu=item.max_frequency_pct / 100,
        resync_s=item.resync_s,
    )


def _twin(item: TwinItem) -> m.TwinSpec:
    spectra = {name: tuple(sorted((int(o), pct) for o, pct in orders.items())) for name, orders in item.spectra.items()}
    return m.TwinSpec(
        loads=tuple(_load(load, spectra) for load in item.loads),
        seed=item.seed,
        load_noise_pct=item.load_noise_pct,
        load_noise_tau_s=item.load_noise_tau_s,
        meter_noise_pct=item.meter_noise_pct,
        battery_soc_pct=item.battery_soc_pct,
    )


def _load(item: LoadItem, spectra: dict[str, tuple[tuple[int, float], ...]]) -> m.TwinLoad:
    return m.TwinLoad(
        node=item.node,
        connection=item.connection,
        typical_w=item.typical_w,
        column=item.column,
        scale=item.scale,
        power_factor=item.power_factor,
        harmonic_pct=() if item.spectrum is None else spectra[item.spectrum],
    )
