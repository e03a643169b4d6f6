"""Files of faults: what they may say, and what is said of those that are wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import rack_site
from mimctl.config.faults import check_faults, load_faults
from mimctl.config.schema_faults import FaultsFile
from mimctl.config.source import parse_document
from mimctl.model.errors import ConfigError
from mimctl.model.fault import OF_CONTROLLER, Fault, FaultKind
from mimctl.model.link import Link, LinkType
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.twin.faults import EFFECTS

START = datetime(2026, 1, 5, tzinfo=UTC)
RACKS = rack_site(10)
SITE = replace(RACKS, links=(*RACKS.links, Link("zb", LinkType.ZIGBEE, zigbee=ZigbeeRadio(RadioKind.ZNP, "/dev/ttyUSB0"))))


def read(*entries: str, seed: int = 1) -> tuple[tuple[Fault, ...], list[str]]:
    text = "schema: 1\nfaults:\n" + "".join(f"  - {entry}\n" for entry in entries)
    document = parse_document(Path("faults.yaml"), text.encode())
    faults, problems = check_faults(document, SITE, start=START, seed=seed)
    return faults, [str(problem) for problem in problems]


def test_times_are_offsets_or_utc() -> None:
    faults, problems = read(
        "{kind: offline, mim: mim-rack1, at: 90 s, for: 1 min}",
        "{kind: offline, mim: mim-rack2, at: 2026-01-05T00:10:00Z, until: 2026-01-05T01:20:00+01:00}",
        "{kind: stuck, mim: mim-rack1}",
    )
    assert problems == []
    assert [(f.at_s, f.until_s) for f in faults] == [(90.0, 150.0), (600.0, 1200.0), (0.0, math.inf)]


def test_a_reboot_takes_five_seconds_where_nothing_is_said() -> None:
    faults, _ = read("{kind: rebooted, mim: mim-rack1, at: 1 min}", "{kind: rebooted, mim: mim-rack1, at: 2 min, for: 20 s}")
    assert [f.until_s for f in faults] == [65.0, 140.0]


def test_a_share_is_drawn_by_the_seed() -> None:
    (first,), _ = read("{kind: offline, mim: 30 %}")
    (again,), _ = read("{kind: offline, mim: 30 %}")
    (other,), _ = read("{kind: offline, mim: 30 %}", seed=2)
    assert len(first.targets) == 3
    assert first.targets == again.targets != other.targets
    assert set(first.targets) <= {m.id for m in SITE.mims}


def test_figures_have_units_and_defaults() -> None:
    faults, problems = read(
        "{kind: lying, meter: m-rack1, gain: 1.2, offset: -0.5 kW, phases: [L2]}",
        "{kind: link_loss, link: gw, loss: 25 %}",
        "{kind: clock_step, by: -1 h}",
        "{kind: ct_swapped, meter: m-rack2}",
    )
    assert problems == []
    assert [dict(f.values) for f in faults] == [
        {"gain": 1.2, "offset_w": -500.0, "phases": ("L2",)},
        {"loss_pct": 25.0},
        {"by_s": -3600.0},
        {},
    ]


@pytest.mark.parametrize(
    ("entry", "place", "says"),
    [
        ("{kind: ofline, mim: mim-rack1}", "3:12", "(did you mean 'offline'?)"),
        ("{kind: offline, mim: mim-rak1}", "3:26", "the site has no mim 'mim-rak1' (did you mean 'mim-rack1'?)"),
        ("{kind: offline}", "3:5", "name a 'meter' or a 'mim'"),
        ("{kind: offline, mim: mim-rack1, meter: m-rack1}", "3:5", "not both"),
        ("{kind: stuck, mim: mim-rack1, at: 5}", "3:39", "5 has no unit: write '5 s'"),
        ("{kind: stuck, mim: mim-rack1, at: tomorrow}", "3:39", "is not a time"),
        ("{kind: stuck, mim: mim-rack1, at: 2026-99-05}", "3:39", "is not a time"),
        ("{kind: stuck, mim: mim-rack1, at: 2025-12-31T23:59:00}", "3:39", "before the start of the run"),
        ("{kind: stuck, mim: mim-rack1, at: 5 s, until: 5 s}", "3:51", "must be after the beginning"),
        ("{kind: stuck, mim: mim-rack1, until: 5 s, for: 5 s}", "3:52", "not both"),
        ("{kind: stuck, mim: 0 %}", "3:24", "more than 0 %"),
        ("{kind: stuck, mim: []}", "3:24", "an id, a list of ids"),
        ("{kind: stuck, mim: mim-rack1, delivers: 5 %}", "3:35", "unknown key 'delivers'"),
        ("{kind: link_loss, link: gw, loss: 120 %}", "3:39", "must be at most 100"),
        ("{kind: ct_swapped, meter: m-rack1, order: [L1, L1, L2]}", "3:40", "each of L1, L2 and L3 once"),
        ("{kind: zone_stopped, zone: y}", "3:32", "the site has no zone 'y'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(entry: str, place: str, says: str) -> None:
    faults, problems = read(entry)
    assert faults == ()
    assert len(problems) == 1
    assert problems[0].startswith(f"faults.yaml:{place} ")
    assert says in problems[0]


def test_two_faults_of_one_kind_on_one_target_may_not_overlap() -> None:
    stuck = "{kind: stuck, mim: mim-rack1, at: 1 min, for: 1 min}"
    assert read(stuck, "{kind: stuck, mim: mim-rack1, at: 2 min}")[1] == []
    assert read(stuck, "{kind: delayed, mim: mim-rack1}")[1] == []
    _, problems = read(stuck, "{kind: stuck, mim: [mim-rack2, mim-rack1], at: 90 s}")
    assert "stuck on mim-rack1 overlaps with entry 1" in problems[0]
    _, problems = read("{kind: site_paused}", "{kind: site_paused, at: 5 s}")
    assert "site_paused overlaps with entry 1" in problems[0]


def test_only_links_with_a_coordinator_have_one_that_can_fail() -> None:
    (fault,), problems = read("{kind: coordinator, coordinator: zb, how: silent, at: 1 min, for: 10 s}")
    assert (problems, fault.targets, dict(fault.values)) == ([], ("zb",), {"how": "silent"})
    _, problems = read("{kind: coordinator, coordinator: gw}")
    assert "the site has no coordinator 'gw'" in problems[0]


def test_every_kind_can_be_written_and_has_an_effect() -> None:
    """The schema, the words of the model and the twin's table name the same kinds; the twin takes what the schema gives."""
    arms = FaultsFile.model_json_schema()["$defs"].values()
    kinds = {arm["properties"]["kind"]["const"] for arm in arms if "kind" in arm.get("properties", {})}
    assert kinds == {kind.value for kind in FaultKind} == {kind.value for kind in EFFECTS} | {kind.value for kind in OF_CONTROLLER}
    entries = {
        "meter": "m-rack1", "mim": "mim-rack1", "link": "gw", "node": "rack1", "feed": "A", "zone": "z",
        "coordinator": "zb",
    }  # fmt: skip
    for arm in arms:
        properties = arm.get("properties", {})
        if "kind" not in properties:
            continue
        target = next((f", {key}: {name}" for key, name in entries.items() if key in properties), "")
        more = "".join(f", {key}" for key in ("by: 5 s", "frequency: 51 Hz") if key.partition(":")[0] in properties)
        (fault,), problems = read(f"{{kind: {properties['kind']['const']}{target}{more}}}")
        assert problems == []
        if fault.kind in EFFECTS:
            EFFECTS[fault.kind](**dict(fault.values))


def test_a_wrong_file_is_one_error_with_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schema: 1\nfaults:\n  - {kind: ofline}\n  - {kind: stuck}\n")
    with pytest.raises(ConfigError) as caught:
        load_faults(path, SITE, start=START, seed=1)
    assert len(caught.value.problems) == 2
