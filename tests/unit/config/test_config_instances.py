"""Meters of a site that are parts of one device with many circuits."""

import pytest

from mimctl.config.site import check_site
from site_factory import site_dict, write_site


def judged(tmp_path, *changes):
    """A site whose first meters share one branch circuit monitor at unit 77."""
    data = site_dict(racks=4, feeds=2)
    for index, change in enumerate(changes):
        data["meters"][index].update({"link": data["meters"][0]["link"], "unit": 77, "profile": "schneider/bcpme"} | change)
    site, problems = check_site(write_site(tmp_path, data))
    return site, [(p.code, p.path) for p in problems if p.severity == "error"]


def test_different_circuits_of_one_monitor_are_different_meters(tmp_path):
    site, problems = judged(tmp_path, {"instances": ["circuit1", "circuit3", "circuit5"]}, {"instances": ["circuit2"]})
    assert problems == []
    assert site.meters[0].address.instances == ("circuit1", "circuit3", "circuit5")
    assert site.meters[1].address.instances == ("circuit2",)


def test_a_meter_and_its_inverter_may_share_an_address(tmp_path):
    assert judged(tmp_path, {"profile": "huawei/sun2000"}, {"profile": "huawei/sun2000_meter"})[1] == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"instances": ["circuit1"]}, {"instances": ["circuit1"]}, ("device.address_twice", "meters[1].unit")),
        ({"instances": ["circuit1"]}, {}, ("device.address_twice", "meters[1].unit")),
        ({}, {"profile": "siemens/pac3200"}, ("device.address_twice", "meters[1].unit")),
        ({"instances": ["circuit43"]}, {"instances": ["circuit2"]}, ("meter.instance", "meters[0].instances[0]")),
        ({"instances": ["circuit1", "circuit1"]}, {"instances": ["circuit2"]}, ("meter.instance", "meters[0].instances[1]")),
        ({"instances": ["circuit1"], "profile": "sunspec"}, {"unit": 78}, ("meter.instance", "meters[0].instances[0]")),
    ],
)
def test_what_cannot_be_is_found(tmp_path, one, other, expected):
    assert expected in judged(tmp_path, one, other)[1]
