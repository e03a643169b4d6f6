"""Site files with Zigbee links: what they become, and what is wrong with one."""

import pytest

from mimctl.config.site import check_site, load_site
from mimctl.model.latency import LatencyClass
from mimctl.model.link import LinkType
from mimctl.model.zigbee import RadioKind, ZigbeeRadio

SITE = """\
schema: 1
site: {id: air, frequency_hz: 50, voltage_ln_v: 230, timezone: UTC}
links:
  - {id: zb, type: zigbee, radio: znp, device: /dev/ttyACM0}
feeds: [{id: a, node: head}]
nodes:
  - {id: head, kind: feed, rating_a: 63}
meters:
  - {id: m1, link: zb, eui: "00:12:4b:00:00:00:00:02", profile: generic/meter_3ph, node: head}
mims:
  - id: mim1
    link: zb
    eui: 00124B0000000001
    profile: mim/zigbee
    node: head
    rating_va: 1000
    validity_s: 20
    latency: {class: medium}
    ports: [{connection: L1}, {connection: L2}, {connection: L3}]
"""


def loaded(tmp_path, text=SITE):
    path = tmp_path / "air.yaml"
    path.write_text(text)
    return path


def messages(tmp_path, text):
    return [f"{p.code}: {p.message}" for p in check_site(loaded(tmp_path, text))[1]]


def test_a_site_without_a_wire(tmp_path):
    site = load_site(loaded(tmp_path))
    (link,) = site.links
    assert (link.type, link.serial) == (LinkType.ZIGBEE, None)
    assert link.zigbee == ZigbeeRadio(RadioKind.ZNP, "/dev/ttyACM0", 115200)
    assert [site.meters[0].address.eui, site.mims[0].address.eui] == ["00124b0000000002", "00124b0000000001"]
    assert site.mims[0].latency.kind is LatencyClass.MEDIUM


def test_a_coordinator_in_the_network(tmp_path):
    text = SITE.replace("device: /dev/ttyACM0", "device: 'socket://10.0.0.7:6638', baudrate: 460800, flow_control: hardware")
    site = load_site(loaded(tmp_path, text))
    assert site.links[0].zigbee == ZigbeeRadio(RadioKind.ZNP, "socket://10.0.0.7:6638", 460800, "hardware")
    assert any("isolated: true" in line for line in messages(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("radio: znp, ", "", "needs the kind of its coordinator"),
        ("radio: znp", "radio: zpn", "'zpn'"),
        (", device: /dev/ttyACM0", "", "needs its coordinator"),
        ("device: /dev/ttyACM0", "device: 'tcp://x:1'", "neither a path nor socket"),
        ("device: /dev/ttyACM0", "device: /dev/ttyACM0, host: a.example", "'host' does not belong"),
        ("eui: 00124B0000000001", "unit: 3", "EUI-64"),
        ("eui: 00124B0000000001", "eui: 00124B00000000", "eui"),
        ("eui: 00124B0000000001", "eui: 00124b0000000002", "already 'm1'"),
        ("profile: mim/zigbee", "profile: mim/zigbe", "did you mean 'mim/zigbee'"),
        ("profile: mim/zigbee", "profile: generic/plug", "has no setpoints"),
        ("profile: generic/meter_3ph", "profile: mim/zigbee", "is a MIM's"),
        ("latency: {class: medium}", "losses: {standby_w: 1}", "latency: {class: medium}"),
        ("validity_s: 20", "validity_s: 10", "runs out when two are lost"),
    ],
)
def test_each_mistake_is_told(tmp_path, old, new, says):
    assert old in SITE
    found = messages(tmp_path, SITE.replace(old, new))
    assert any(says in line for line in found), found


def test_a_coordinator_is_no_part_of_a_wired_link(tmp_path):
    text = SITE.replace("{id: zb, type: zigbee,", "{id: tcp, host: a.example, radio: ezsp}\n  - {id: zb, type: zigbee,")
    assert any("has no coordinator" in line for line in messages(tmp_path, text))


def test_the_right_one_has_no_problem(tmp_path):
    assert not [line for line in messages(tmp_path, SITE) if "zigbee" in line or "eui" in line or "link." in line]
