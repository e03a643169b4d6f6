"""Building a site: order, inheritance, defaults; the example sites."""

from __future__ import annotations

import math
from datetime import time
from pathlib import Path

import pytest

from mimctl.config.build_links import link_port
from mimctl.config.schema_devices import LinkItem
from mimctl.config.site import check_site, load_site
from mimctl.model.connection import Connection
from mimctl.model.errors import ConfigError
from mimctl.model.harmonics import HarmonicFilter, HarmonicLimits
from mimctl.model.link import Rs485
from mimctl.model.node import NodeKind, Winding
from mimctl.model.phases import PHASES, Phase
from mimctl.model.problem import Severity
from mimctl.model.site import ExpiryAction
from mimctl.wire.tls import make_throwaway_pki
from site_factory import site_dict, write_site

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "site_configs").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_sites_are_clean(path):
    site, problems = check_site(path)
    assert problems == []
    assert site is not None
    assert math.isclose(sum(node.omega for node in site.nodes), 1.0, rel_tol=1e-12)
    seen: set[str | None] = {None}
    for node in site.nodes:
        assert node.parent in seen
        seen.add(node.id)


def test_demonstration_hall_has_what_a_hall_has():
    site = load_site(ROOT / "site_configs" / "demo.yaml")
    kinds = [node.kind for node in site.nodes]
    assert (kinds.count(NodeKind.FEED), kinds.count(NodeKind.PDU), kinds.count(NodeKind.RACK)) == (2, 6, 24)
    assert (len(site.mims), len(site.batteries), len(site.zones)) == (24, 2, 2)
    assert {m.address.profile for m in site.meters} == {"sunspec", "schneider/iem3155"}
    assert {len(load.connection.phases) for load in site.twin.loads} == {1, 2, 3}
    assert {mim.expiry_action for mim in site.mims} == {ExpiryAction.ZERO}


def test_voltage_phases_and_neutral_come_from_above(tmp_path):
    data = site_dict(racks=2)
    data["site"]["voltage"] = "11 kV LL"
    data["nodes"][0]["neutral"] = False
    data["nodes"][1]["transformer"] = {"group": "Dyn5", "rated": "250 kVA", "secondary_voltage": "230/400 V"}
    data["nodes"][2] |= {"phases": ["L2", "L1"], "neutral_rating": "20 A"}
    data["mims"][0]["ports"] = ["L1", "L1L2"]
    data["twin"]["loads"] = []
    data["nodes"].reverse()  # the file may name children first
    site = load_site(write_site(tmp_path, data))
    nodes = {node.id: node for node in site.nodes}
    assert [n.id for n in site.nodes][:2] == ["feed-a", "pdu-a1"]
    assert nodes["feed-a"].voltage_ln_v == pytest.approx(11000 / math.sqrt(3))
    assert nodes["feed-a"].neutral_rating_a is None
    assert nodes["rack-a1-1"].voltage_ln_v == 230.0
    assert nodes["rack-a1-1"].phases == (Phase.L1, Phase.L2)
    assert nodes["rack-a1-1"].neutral_rating_a == 20.0
    assert (nodes["rack-a1-2"].phases, nodes["rack-a1-2"].neutral_rating_a) == (PHASES, 32.0)
    transformer = nodes["pdu-a1"].transformer
    assert transformer is not None
    assert (transformer.winding, transformer.clock, transformer.rated_va) == (Winding.DYN, 5, 250e3)


def test_weights_are_shares_of_their_sum(tmp_path):
    data = site_dict(racks=2)
    for node, weight in zip(data["nodes"], (2, 1, 1, 0), strict=True):
        node["balance_weight"] = weight
    assert [node.omega for node in load_site(write_site(tmp_path, data)).nodes] == [0.5, 0.25, 0.25, 0.0]


def test_defaults_are_one_zone_and_one_rule(tmp_path):
    site = load_site(write_site(tmp_path, site_dict(racks=4, feeds=2)))
    assert [(z.id, z.heads, z.cycle_s) for z in site.zones] == [("site", ("feed-a", "feed-b"), 1.0)]
    assert [(r.id, r.zones, r.deadband_a) for r in site.rules] == [("balance", ("site",), 0.1)]
    assert site.name == site.id


def test_rules_zones_and_settings_are_read(tmp_path):
    data = site_dict(racks=2)
    data["zones"] = [{"id": "z", "heads": ["feed-a"], "cycle": "500 ms"}]
    window = {"days": ["fri", "mon"], "start": "08:00", "end": "18:30"}
    data["rules"] = [{"id": "r", "weights": {"pdu-a1": 2}, "deadband": "200 mA", "window": window}]
    data["control"] = {"site_period": "1 min", "min_voltage": "94 %"}
    site = load_site(write_site(tmp_path, data))
    (rule,) = site.rules
    assert (rule.zones, rule.weights, rule.deadband_a) == (("z",), (("pdu-a1", 2.0),), 0.2)
    assert (rule.window.days, rule.window.start, rule.window.end) == ((0, 4), time(8), time(18, 30))
    assert (site.zones[0].cycle_s, site.control.site_period_s, site.control.min_voltage_pu) == (0.5, 60.0, 0.94)


def test_devices_are_read_in_base_units(tmp_path):
    data = site_dict(racks=2, battery=True)
    data["mims"][0] |= {
        "ports": ["L1", {"node": "rack-a1-2", "connection": "3ph", "rating": "3 kVA"}],
        "ramp": "2 kW/s",
        "losses": {"standby": "6 W", "linear": "1.2 %", "quadratic": "0.4 %/kVA"},
    }
    data["meters"][0] |= {"phase_map": ["L2", "L3", "L1"], "sign": -1, "base": 40000}
    data["twin"]["spectra"] = {"psu": {"5": "4 %", "3": "8 %"}}
    data["twin"]["loads"][0] |= {"spectrum": "psu", "typical": "1.5 kW", "column": "c"}
    site = load_site(write_site(tmp_path, data))
    mim, meter, battery, load = site.mims[0], site.meters[0], site.batteries[0], site.twin.loads[0]
    assert [(p.node, p.connection, p.rating_va) for p in mim.ports] == [
        ("rack-a1-1", Connection.L1, 2000.0),
        ("rack-a1-2", Connection.THREE_PHASE, 3000.0),
    ]
    assert (mim.ramp_w_per_s, mim.losses.standby_w, mim.losses.linear) == (2000.0, 6.0, pytest.approx(0.012))
    assert mim.losses.quadratic_per_va == pytest.approx(4e-6)  # 0.4 % more for each kVA
    assert (meter.phase_map, meter.sign, meter.address.base) == ((Phase.L2, Phase.L3, Phase.L1), -1, 40000)
    assert (battery.capacity_wh, battery.max_discharge_w, battery.round_trip_efficiency) == (10e3, 4e3, 0.9)
    assert (load.typical_w, load.harmonic_pct, load.column) == (1500.0, ((3, 8.0), (5, 4.0)), "c")


def test_harmonic_limits_and_filters(tmp_path):
    data = site_dict(racks=2)
    data["nodes"][1]["harmonic_limits"] = {"tdd": "8 %", "demand": "40 A"}
    data["nodes"][2]["harmonic_limits"] = {}
    data["mims"][0]["harmonic_filter"] = {"orders": [7, 3, 5, 3], "timing_error": "20 µs", "response": "500 ms", "reserve": "40 %"}
    data["mims"][1]["harmonic_filter"] = {}
    site = load_site(write_site(tmp_path, data))
    assert site.nodes[1].harmonic_limits == HarmonicLimits(None, 8.0, None, 40.0)
    assert (site.nodes[0].harmonic_limits, site.nodes[2].harmonic_limits) == (None, HarmonicLimits())
    own = site.mims[0].harmonic_filter
    assert own is not None
    assert (own.orders, own.response_s, own.reserve) == ((3, 5, 7), 0.5, 0.4)
    assert own.timing_error_s == pytest.approx(20e-6)
    assert site.mims[1].harmonic_filter == HarmonicFilter((3, 5, 7, 9, 11, 13))


def test_cables_per_length_and_in_all(tmp_path):
    data = site_dict(racks=2)
    data["nodes"][1]["cable"] = {"length": "50 m", "r_per_km": "0.32 ohm/km", "x_per_km_ohm": 0.08, "r_neutral": "20 mohm"}
    cable = load_site(write_site(tmp_path, data)).nodes[1].cable
    assert cable is not None
    assert (cable.r_ohm, cable.x_ohm) == (pytest.approx(0.016), pytest.approx(0.004))
    assert (cable.r_neutral_ohm, cable.x_neutral_ohm) == (0.02, None)


def test_certificates_are_found_beside_the_site_file(tmp_path):
    make_throwaway_pki(tmp_path / "pki")
    data = site_dict(racks=2)
    data["links"][0] |= {
        "type": "modbus_tls",
        "tls": {"ca": "pki/ca.pem", "certificate": "pki/client.pem", "key": "pki/client.key"},
    }
    site, problems = check_site(write_site(tmp_path, data))
    assert problems == []
    assert site is not None
    assert site.links[0].tls is not None
    assert site.links[0].tls.key == tmp_path.resolve() / "pki" / "client.key"


@pytest.mark.parametrize(
    ("link", "port"),
    [({}, 502), ({"type": "modbus_tls"}, 802), ({"type": "modbus_rtu_tcp"}, 502), ({"type": "modbus_tls", "port": 1802}, 1802)],
)
def test_a_link_without_a_port_takes_the_registered_one(link, port):
    """IANA: mbap is 502, mbap-s is 802."""
    assert link_port(LinkItem(id="gw", host="192.0.2.10", **link)) == port


def test_the_direction_of_a_serial_bus_is_read(tmp_path):
    data = site_dict(racks=2)
    del data["links"][0]["host"], data["links"][0]["port"]
    data["links"][0] |= {"type": "modbus_rtu", "device": "/dev/ttyS9", "rs485": {"rts_on_send": "low", "delay_after_send": "2 ms"}}
    line = load_site(write_site(tmp_path, data)).links[0].serial
    assert line is not None
    assert line.rs485 == Rs485(rts_high_on_send=False, delay_before_send_s=0.0, delay_after_send_s=0.002)


def test_load_raises_every_error_but_no_warning(tmp_path):
    data = site_dict(racks=2)
    data["links"][0]["port"] = 0
    data["mims"][0]["unit"] = 300
    data["nodes"][3]["rating"] = "100 A"  # larger than its parent: a warning
    with pytest.raises(ConfigError) as caught:
        load_site(write_site(tmp_path, data))
    assert [p.path for p in caught.value.problems] == ["links[0].port", "mims[0].unit"]
    assert all(p.severity is Severity.ERROR for p in caught.value.problems)


def test_a_large_site_is_built_whole(tmp_path):
    site = load_site(write_site(tmp_path, site_dict(racks=300, feeds=2)))
    assert (len(site.mims), len(site.nodes)) == (300, 300 + 26 + 2)
