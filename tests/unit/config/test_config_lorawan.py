"""LoRaWAN links in site files: what is missing, what cannot be, and what radio law leaves no room for."""

from pathlib import Path

import pytest
import yaml

from mimctl.config.air_budget import AirUser, air_budget
from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.config.site import check_site
from mimctl.model.airtime import Region
from mimctl.model.link import LinkType
from mimctl.model.lorawan import MulticastGroup, RadioPlan

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


GROUP = "6a0f4c1e-52a7-4a39-8c55-0d6a2e7b9f10"
OTHER = "6a0f4c1e-52a7-4a39-8c55-0d6a2e7b9f11"


def grouped(mims: int = 2, **group) -> dict:
    content = site(mims)
    members = {f"mim{n}": n for n in range(1, mims + 1)}
    content["links"][1]["lorawan"]["multicast"] = [{"group": GROUP, "members": members, **group}]
    return content


def test_a_multicast_group_is_built_with_the_data_rate_of_its_link(check):
    built, problems = check(grouped())
    assert problems == []
    (group,) = built.links[1].lorawan.multicast
    assert (group.id, group.members, group.downlink_dr) == (GROUP, (("mim1", 1), ("mim2", 2)), 3)


def found(check, content: dict) -> list[tuple[str, str]]:
    return [(p.code, p.path.partition("multicast")[2]) for p in check(content)[1] if p.code == "lorawan.multicast"]


@pytest.mark.parametrize(
    ("group", "path"),
    [
        ({"members": {"mim1": 1, "mim9": 2}}, "[0].members.mim9"),
        ({"members": {"mim1": 1, "mim2": 1}}, "[0].members.mim2"),
        ({"dr": 9}, "[0].dr"),
        ({"dr": 0}, ""),  # 51 bytes are room for three
    ],
)
def test_what_is_wrong_with_a_group_is_told(check, group, path):
    assert found(check, grouped(**group)) == ([("lorawan.multicast", path)] if path else [])


def test_a_mim_is_in_one_group(check):
    content = grouped(3)
    content["links"][1]["lorawan"]["multicast"].append({"group": OTHER, "members": {"mim3": 1, "mim2": 2}})
    assert found(check, content) == [("lorawan.multicast", f"[1].members.{name}") for name in ("mim2", "mim3")]


def test_a_group_of_different_paces_is_warned_of(check):
    content = grouped()
    content["mims"][1]["validity"] = "30 min"
    content["mims"][1]["latency"]["command_every"] = "10 min"
    told = [p for p in check(content)[1] if p.code == "lorawan.multicast"]
    assert [(p.severity, p.message.split("'")[1]) for p in told] == [("warning", "latency.command_every"), ("warning", "validity")]


def test_a_profile_without_frames_for_several_is_told(check, tmp_path):
    own = find_payload_profile("mimctl/mim").read_text(encoding="utf-8")
    path = tmp_path / "device_profiles" / "lorawan" / "mimctl" / "mim.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(own[: own.index("group:\n")] + own[own.index("tests:\n") : own.index("group_tests:")], encoding="utf-8")
    assert found(check, grouped()) == [("lorawan.multicast", "[0]")]


def test_one_frame_for_many_is_counted_once_and_by_every_gateway():
    """By Semtech AN1200.13 at SF9/125 kHz, symbols of 4.096 ms: eight setpoints are 115 bytes, 128 on the air: ceil(1016 / 36) = 29
    blocks, 12.25 + 8 + 145 symbols; three are 45 bytes, 58 on the air: ceil(456 / 36) = 13 blocks, 12.25 + 8 + 65 symbols."""
    profile = load_payload_profile(find_payload_profile("mimctl/mim"))
    users = [AirUser(profile, 60.0, 60.0, f"mim{n}") for n in range(1, 12)]
    group = MulticastGroup(GROUP, tuple((f"mim{n}", n) for n in range(1, 12)), 3)
    for gateways in (1, 3):
        plan = RadioPlan(Region.EU868, 5, 3, gateways)
        budget = air_budget(plan, users, [group])
        (together,) = budget.rounds
        assert together.frames_s == pytest.approx((0.676864, 0.349184), abs=1e-6)
        assert budget.downlink_share == pytest.approx((0.676864 + 0.349184) / 60)
        assert budget.least_command_s == pytest.approx((0.676864 + 0.349184) / 0.1)
    alone = air_budget(RadioPlan(Region.EU868, 5, 3), users)
    assert alone.downlink_share > 2.2 * budget.downlink_share
    assert "11 MIMs, 11 by 2 frames of up to 677 ms at DR3" in budget.lines("air")[0]


def test_those_outside_of_a_group_are_counted_by_themselves():
    profile = load_payload_profile(find_payload_profile("mimctl/mim"))
    users = [AirUser(profile, 60.0, 60.0, f"mim{n}") for n in range(1, 4)]
    group = MulticastGroup(GROUP, (("mim1", 1), ("mim2", 2)), 3)
    plan = RadioPlan(Region.EU868, 5, 3)
    both, one = air_budget(plan, users, [group]), air_budget(plan, users[2:])
    assert both.downlink_share == pytest.approx(one.downlink_share + both.rounds[0].share)


@pytest.mark.parametrize(("mode", "told"), [(0o600, []), (0o640, []), (0o644, ["lorawan.file"])])
def test_a_token_that_everybody_can_read_is_warned_of(check, tmp_path, mode, told):
    content = site()
    content["links"][1]["lorawan"]["token_file"] = "lora.token"
    (tmp_path / "lora.token").write_text("secret")
    (tmp_path / "lora.token").chmod(mode)
    problems = check(content)[1]
    assert [p.code for p in problems] == told
    assert "secret" not in str(problems)
