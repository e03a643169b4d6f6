"""Islands in site files: what becomes of them, and what is found wrong."""

from __future__ import annotations

from typing import Any

import pytest
from tests.site_factory import site_dict, write_site

from mimctl.config.site import check_site
from mimctl.model.island import Island

CONTACTOR = {
    "id": "k-a1",
    "kind": "contactor",
    "node": "pdu-a1",
    "link": "gw-pdu-a1",
    "unit": 9,
    "profile": "liebert/sts2",
    "states": {1: "normal", 2: "open"},
}
ISLAND = {"id": "i1", "contactor": "k-a1", "formers": ["mim-a1-1"]}


def site_data(**change: Any) -> dict[str, Any]:
    """One feed over one PDU behind a contactor, two racks, a battery behind the first MIM."""
    data = site_dict(racks=2, battery=True)
    data["transfers"] = [CONTACTOR | change.pop("contactor_", {})]
    data["islands"] = [{k: v for k, v in (ISLAND | change).items() if v is not None}]
    return data


def found(tmp_path, data: dict[str, Any]) -> list[tuple[str, str]]:
    _, problems = check_site(write_site(tmp_path, data))
    return [(p.code, p.path) for p in problems]


def test_an_island_takes_its_place_from_its_contactor(tmp_path):
    site, problems = check_site(write_site(tmp_path, site_data(voltage="98 %", dead_time="8 s")))
    assert not problems
    assert site.islands == (Island("i1", "k-a1", "pdu-a1", ("mim-a1-1",), voltage_pu=0.98, dead_time_s=8.0),)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"contactor": "k-b"}, [("reference.unknown", "islands[0].contactor")]),
        ({"also_open": ["q"]}, [("reference.unknown", "islands[0].also_open[0]")]),
        ({"formers": ["mim-x"]}, [("reference.unknown", "islands[0].formers[0]")]),
        ({"formers": ["mim-a1-2"]}, [("island.former", "islands[0].formers[0]")]),  # it has no battery
        ({"voltage": "85 %"}, [("island.band", "islands[0].voltage")]),
        ({"frequency": "94 %"}, [("island.band", "islands[0].frequency")]),
        ({"reclose": "3 s"}, [("island.reclose", "islands[0].reclose")]),
        # 5 s old data, two cycles, 10 s validity, 1 s on the way down, 5 s dead
        ({"reclose": "22.9 s"}, [("island.reclose", "islands[0].reclose")]),
        ({"reclose": "23 s"}, []),
        ({"contactor_": {"states": {1: "normal"}}}, [("island.switch", "islands[0].contactor")]),
        (
            {"contactor_": {"link": None, "profile": None, "states": {}, "state": "open"}},
            [("island.switch", "islands[0].contactor")],
        ),
    ],
)
def test_what_is_found_wrong(tmp_path, change, expected):
    data = site_data(**change)
    data["transfers"] = [{k: v for k, v in data["transfers"][0].items() if v is not None}]
    assert found(tmp_path, data) == expected


def test_nobody_forms_what_is_not_measured(tmp_path):
    data = site_data()
    data["meters"] = [meter for meter in data["meters"] if meter["node"] != "pdu-a1"]
    assert ("island.meter", "islands[0]") in found(tmp_path, data)


def test_a_contactor_at_the_head_does_not_see_the_grid_return(tmp_path):
    data = site_data(contactor_={"node": "feed-a"})
    assert found(tmp_path, data) == [("island.upstream", "islands[0]")]
    data["islands"][0]["reclose"] = "60 s"
    assert found(tmp_path, data) == [("island.upstream", "islands[0].reclose")]


def test_an_island_belongs_to_one_zone(tmp_path):
    data = site_data()
    data["zones"] = [{"id": "z1", "heads": ["rack-a1-1"]}, {"id": "z2", "heads": ["rack-a1-2"]}]
    assert ("island.zone", "islands[0]") in found(tmp_path, data)


def test_one_bus_has_one_island(tmp_path):
    data = site_data()
    data["transfers"].append(CONTACTOR | {"id": "k-rack", "node": "rack-a1-1", "unit": 10})
    data["islands"].append(ISLAND | {"id": "i2", "contactor": "k-rack"})
    assert found(tmp_path, data) == [("island.overlap", "islands[0]")]


def test_a_former_makes_its_own_neutral(tmp_path):
    data = site_data()
    rack = next(node for node in data["nodes"] if node["id"] == "rack-a1-1")
    rack["transformer"] = {"group": "Dyn11", "rated": "20 kVA", "secondary_voltage": "230/400 V"}
    assert ("island.transformer", "islands[0]") in found(tmp_path, data)


@pytest.mark.parametrize("ports", [["L1", "L2"], ["L1L2", "L2L3", "L3L1"], [{"connection": "L1", "node": "feed-a"}, "L2", "L3"]])
def test_a_former_has_all_phases_of_one_node_and_none_outside(tmp_path, ports):
    data = site_data()
    data["mims"][0]["ports"] = ports
    assert ("island.former", "islands[0].formers[0]") in found(tmp_path, data)
