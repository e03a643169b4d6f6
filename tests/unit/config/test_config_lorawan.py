"""LoRaWAN links in site files: what is missing, what cannot be, and what radio law leaves no room for."""

from pathlib import Path

import pytest
import yaml

from mimctl.config.air_budget import AirUser, air_budget
from mimctl.config.payload import find_payload_profile, load_payload_profile
from mimctl.config.site import check_site
from mimctl.model.airtime import Region
from mimctl.model.link import LinkType
from mimctl.model.lorawan import RadioPlan

APPLICATION = "3b1f2d64-0f8e-4c0a-9d59-1f4d7e1b6a01"


def mim(number: int) -> dict:
    return {
        "id": f"mim{number}",
        "link": "air",
        "eui": f"70b3d57ed00000{number:02x}",
        "profile": "mimctl/mim",
        "node": "rack",
        "ports": ["L1", "L2", "L3"],
        "rating": "2 kVA",
        "validity": "20 min",
        "latency": {"class": "slow", "command_every": "5 min", "report_every": "1 min"},
    }


def site(mims: int = 2) -> dict:
    return {
        "schema": 1,
        "site": {"id": "s", "voltage": "230/400 V"},
        "links": [
            {"id": "wire", "host": "127.0.0.1"},
            {"id": "air", "type": "lorawan", "host": "127.0.0.1", "lorawan": {"application": APPLICATION, "downlink_dr": 3}},
        ],
        "feeds": [{"id": "A", "node": "feed"}],
        "nodes": [
            {"id": "feed", "kind": "feed", "rating": "250 A"},
            {"id": "rack", "kind": "rack", "parent": "feed", "rating": "63 A"},
        ],
        "meters": [{"id": "m", "link": "wire", "node": "rack"}, {"id": "mf", "link": "wire", "node": "feed", "unit": 2}],
        "mims": [mim(n) for n in range(1, mims + 1)],
    }


@pytest.fixture
def check(tmp_path: Path):
    def judge(content: dict):
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(content))
        return check_site(file)

    return judge


def test_a_sound_site_is_built(check):
    content = site()
    content["mims"][0]["eui"] = "70:B3:D5:7E:D0-00-00-01"
    built, problems = check(content)
    assert [str(p) for p in problems if p.severity == "error"] == []
    link = built.links[1]
    assert (link.type, link.port, link.lorawan.api_host, link.lorawan.plan) == (
        LinkType.LORAWAN,
        1883,
        "127.0.0.1",
        RadioPlan(Region.EU868, 5, 3, 1),
    )
    assert built.mims[0].address.eui == "70b3d57ed0000001"


def link(content: dict) -> dict:
    return content["links"][1]


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        (lambda s: link(s).pop("lorawan"), "lorawan.link", "links[1]"),
        (lambda s: s["links"][0].update(lorawan={"application": APPLICATION}), "lorawan.link", "links[0].lorawan"),
        (lambda s: link(s)["lorawan"].update(downlink_dr=9), "lorawan.link", "links[1].lorawan.downlink_dr"),
        (lambda s: link(s)["lorawan"].update(region="US915"), "lorawan.link", "links[1].lorawan.uplink_dr"),
        (lambda s: link(s).update(host="192.0.2.1"), "lorawan.plain", "links[1]"),
        (lambda s: link(s)["lorawan"].update(api_host="192.0.2.1"), "lorawan.plain", "links[1].lorawan"),
        (lambda s: link(s)["lorawan"].update(token_file="no.token"), "lorawan.file", "links[1].lorawan.token_file"),
        (lambda s: s["mims"][0].pop("eui"), "device.eui", "mims[0]"),
        (lambda s: s["mims"][1].update(eui=s["mims"][0]["eui"]), "device.eui", "mims[1].eui"),
        (lambda s: s["meters"][0].update(eui="70b3d57ed0000009"), "device.eui", "meters[0].eui"),
        (lambda s: s["mims"][0].pop("latency"), "lorawan.mim", "mims[0]"),
        (lambda s: s["mims"][0].update(expiry_action="revert"), "lorawan.mim", "mims[0].expiry_action"),
        (lambda s: s["mims"][0].update(harmonic_filter={}), "lorawan.mim", "mims[0].harmonic_filter"),
        (lambda s: s["mims"][0]["latency"].update(command_every="4 s"), "lorawan.mim", "mims[0].latency.command_every"),
        (lambda s: s["mims"][0].pop("profile"), "lorawan.profile", "mims[0]"),
        (lambda s: s["mims"][0].update(profile="mimctl/min"), "lorawan.profile", "mims[0].profile"),
        (lambda s: s["mims"][0].update(profile="example/meter3"), "mim.no_setpoints", "mims[0].profile"),
        (lambda s: s["mims"][0].update(ports=["L1"]), "mim.profile_ports", "mims[0].ports"),
    ],
)
def test_what_is_wrong_is_named(check, change, code, path):
    content = site()
    change(content)
    assert (code, path) in [(p.code, p.path) for p in check(content)[1]]


def air(problems) -> list[str]:
    return [p.message for p in problems if p.code == "lorawan.air"]


def test_fifty_mims_a_minute_are_more_than_the_law_allows(check):
    content = site(50)
    for each in content["mims"]:
        each["latency"]["command_every"] = "1 min"
    # 226.3 ms at SF9: 50 of them in 60 s are 18.9 %; at 10 % they take 113 s
    (text,) = air(check(content)[1])
    assert "18.9%" in text
    assert "10%" in text
    assert "each 113 s" in text
    link(content)["lorawan"]["gateways"] = 2
    assert air(check(content)[1]) == []


def test_reports_at_the_slowest_rate_need_their_time(check):
    content = site()
    link(content)["lorawan"]["uplink_dr"] = 0
    # 2302 ms each 60 s and once more each 300 s: 4.6 %
    (text,) = air(check(content)[1])
    assert "2302 ms" in text
    assert "4.6%" in text
    for each in content["mims"]:
        each["latency"] |= {"report_every": "6 min", "command_every": "30 min"}
        each["validity"] = "95 min"
    link(content)["lorawan"]["downlink_dr"] = 0
    assert air(check(content)[1]) == []


def test_in_america_slow_devices_send_the_short_report():
    path = find_payload_profile("mimctl/mim")
    assert path is not None
    user = AirUser(load_payload_profile(path), 300.0, 60.0)
    budget = air_budget(RadioPlan(Region.US915, 0, 8), [user])
    assert budget is not None
    assert budget.report_s == pytest.approx(0.3707, abs=1e-4)
    assert budget.dwell_kept
    assert budget.downlinks_fit
    assert "11 bytes" not in budget.lines("air")[0]
    assert "no limit but the dwell time" in budget.lines("air")[0]


def test_a_budget_of_nobody_is_none():
    assert air_budget(RadioPlan(), []) is None


def test_check_prints_the_budget(tmp_path, run_cli):
    file = tmp_path / "site.yaml"
    file.write_text(yaml.safe_dump(site(8)))
    result = run_cli("check", file)
    # 8 · 226.3 ms each 300 s; 97.5 ms each 60 s and once more each 300 s
    assert "air air EU868: 8 MIMs; time on the air: setpoints 226 ms at DR3, 0.60% of the gateway (10% by law)" in result.out
    assert "reports 98 ms at DR5, 0.20% of a device (1% by law)" in result.out
