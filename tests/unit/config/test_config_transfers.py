"""Transfer devices in site files: what becomes of them, and what is found wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.site_factory import site_dict, write_site

from mimctl.config.faults import check_faults
from mimctl.config.site import check_site
from mimctl.config.source import parse_document
from mimctl.model.address import DeviceAddress
from mimctl.model.transfer import TransferKind, TransferSource, TransferState

STS = {"id": "sts-a", "kind": "sts", "feed": "A", "link": "gw-feed-a", "unit": 9, "profile": "liebert/sts2"}
STATES = {1: "normal", 2: "alternate", 3: "generator"}


def read(tmp_path, *entries: dict[str, Any]):
    data = site_dict(racks=4, feeds=2)
    data["transfers"] = list(entries)
    return check_site(write_site(tmp_path, data))


def found(tmp_path, *entries: dict[str, Any]) -> list[tuple[str, str]]:
    _, problems = read(tmp_path, *entries)
    return [(p.code, p.path) for p in problems]


def test_a_device_that_is_asked(tmp_path):
    entry = STS | {"states": STATES, "sources": {"generator": {"available": "60 kVA"}}, "backup": "generator", "transfer": "8 s"}
    site, problems = read(tmp_path, entry)
    assert not problems
    (device,) = site.transfers
    assert (device.kind, device.node, device.fixed) == (TransferKind.STS, "feed-a", None)
    assert device.address == DeviceAddress("gw-feed-a", 9, "liebert/sts2")
    assert device.sources == (
        TransferSource(TransferState.NORMAL, None, None),
        TransferSource(TransferState.ALTERNATE, None, 0.0),
        TransferSource(TransferState.GENERATOR, 60e3, 0.0),
    )
    assert (device.backup, device.transfer_s) == (TransferState.GENERATOR, 8.0)
    assert [device.state_of(code) for code in (1.0, 3.0, 7.0, None)] == [
        TransferState.NORMAL,
        TransferState.GENERATOR,
        TransferState.UNKNOWN,
        TransferState.UNKNOWN,
    ]


def test_a_ups_that_cannot_be_asked_takes_nothing_back_on_any_source(tmp_path):
    ups = {"id": "ups-a", "kind": "ups", "node": "pdu-a1", "state": "normal", "sources": {"battery": {"available": "20 kVA"}}}
    site, problems = read(tmp_path, ups)
    assert not problems
    (device,) = site.transfers
    assert (device.node, device.fixed, device.address) == ("pdu-a1", TransferState.NORMAL, None)
    assert [source.reverse_power_limit_w for source in device.sources] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"node": "pdu-a1"}, [("transfer.place", "transfers[0]")]),
        ({"feed": None}, [("transfer.place", "transfers[0]")]),
        ({"feed": "C"}, [("reference.unknown", "transfers[0].feed")]),
        ({"link": "gw"}, [("reference.unknown", "transfers[0].link")]),
        ({"id": "meter-feed-a"}, [("id.duplicate", "transfers[0].id")]),
        ({"state": "normal"}, [("transfer.state", "transfers[0]")]),
        ({"profile": None}, [("transfer.state", "transfers[0]")]),
        ({"states": {}}, [("transfer.state", "transfers[0]")]),
        ({"states": {2: "alternate"}}, [("transfer.state", "transfers[0].states")]),
        ({"profile": "liebert/sts"}, [("profile.unknown", "transfers[0].profile")]),
        ({"profile": "carlo_gavazzi/em24"}, [("transfer.no_status", "transfers[0].profile")]),
        ({"states": {1: "normal", 4: "battery"}}, [("transfer.available", "transfers[0]")]),
    ],
)
def test_what_is_wrong_with_a_device(tmp_path, change, expected):
    entry = {key: value for key, value in (STS | {"states": {1: "normal", 2: "alternate"}} | change).items() if value is not None}
    assert found(tmp_path, entry) == expected


def test_two_devices_at_one_node(tmp_path):
    first = STS | {"states": {1: "normal"}}
    second = {"id": "ups-a", "kind": "ups", "node": "feed-a", "state": "normal"}
    assert found(tmp_path, first, second) == [("transfer.place", "transfers[1].node")]


def test_a_state_that_nobody_knows_is_told_with_what_there_is(tmp_path):
    _, problems = read(tmp_path, STS | {"states": {1: "nromal"}})
    assert "normal" in problems[0].message


def test_a_file_of_faults_may_take_a_transfer_device_off_its_link(tmp_path):
    site, _ = read(tmp_path, STS | {"states": {1: "normal"}}, {"id": "ups-b", "kind": "ups", "feed": "B", "state": "normal"})
    text = "schema: 1\nfaults:\n  - {kind: offline, transfer: sts-a, at: 5 s}\n  - {kind: offline, transfer: ups-b}\n"
    document = parse_document(tmp_path / "faults.yaml", text.encode())
    faults, problems = check_faults(document, site, start=datetime(2026, 1, 5, tzinfo=UTC), seed=1)
    assert [(fault.targets, fault.at_s) for fault in faults] == [(("sts-a",), 5.0)]
    assert [(p.code, p.path) for p in problems] == [("fault.unknown", "faults[1].transfer")]
