"""Links of every kind: what a site file may say about each, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mimctl.config.checks.links import is_host
from mimctl.config.site import check_site, load_site
from mimctl.model.link import Link, LinkType, Parity, SerialLine
from site_factory import site_dict, write_site

BUS = {"id": "bus", "type": "modbus_rtu", "device": "/dev/ttyUSB7", "baudrate": 9600, "parity": "none", "stop_bits": 2}


def problems(folder: Path, *links: dict[str, Any], unit: int = 31) -> list[tuple[str, str, str]]:
    """Of the factory's site with more links, its first meter behind the first of them."""
    data = site_dict(racks=4, feeds=2)
    first = len(data["links"])
    data["links"] += list(links)
    data["meters"][0].update(link=links[0]["id"], unit=unit)
    _, found = check_site(write_site(folder, data))
    return [(p.severity.value, p.code, p.path.replace(f"links[{first}]", "L0").replace(f"links[{first + 1}]", "L1")) for p in found]


def built(folder: Path, link: dict[str, Any]) -> Link:
    data = site_dict(racks=4, feeds=2)
    data["links"].append(link)
    return load_site(write_site(folder, data)).links[-1]


def test_serial_link(tmp_path: Path) -> None:
    assert problems(tmp_path, BUS) == []
    link = built(tmp_path, {**BUS, "local_echo": True, "timeout": "300 ms"})
    assert link.type is LinkType.MODBUS_RTU
    assert link.serial == SerialLine("/dev/ttyUSB7", 9600, Parity.NONE, 2)
    assert (link.host, link.port, link.local_echo, link.timeout_s) == ("", 0, True, 0.3)


def test_serial_line_speaks_as_the_specification_recommends_unless_told_otherwise(tmp_path: Path) -> None:
    """19200 bit/s, even parity, one stop bit: MODBUS over Serial Line V1.02, 2.5.1."""
    link = built(tmp_path, {"id": "bus", "type": "modbus_rtu", "device": "/dev/ttyS1"})
    assert link.serial == SerialLine("/dev/ttyS1", 19200, Parity.EVEN, 1, 8)


def test_relative_port_is_beside_the_file_and_a_name_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to("/dev/null")
    link = built(tmp_path, {"id": "bus", "type": "modbus_rtu", "device": "by-id"})
    assert link.serial == SerialLine(str(tmp_path / "by-id"))


def test_rtu_over_tcp(tmp_path: Path) -> None:
    gateway = {"id": "g", "type": "modbus_rtu_tcp", "host": "127.0.0.1", "port": 4001, "write_function": 6}
    assert problems(tmp_path, gateway) == []
    link = built(tmp_path, gateway)
    assert (link.type, link.host, link.port, link.serial, link.write_function) == (
        LinkType.MODBUS_RTU_TCP, "127.0.0.1", 4001, None, 6,
    )  # fmt: skip


def test_gateway_of_several_connections(tmp_path: Path) -> None:
    assert built(tmp_path, {"id": "g", "host": "127.0.0.1", "max_connections": 4}).max_connections == 4


TCP = {"id": "t", "host": "127.0.0.1"}
OVER_TCP = {"id": "g", "type": "modbus_rtu_tcp", "host": "127.0.0.1"}

WRONG: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str]]]] = {
    "no host": ([{"id": "t"}], [("error", "link.end", "L0")]),
    "no host, RTU over TCP": ([{"id": "t", "type": "modbus_rtu_tcp"}], [("error", "link.end", "L0")]),
    "no device": ([{"id": "b", "type": "modbus_rtu"}], [("error", "link.end", "L0")]),
    "URL for a host": ([{**TCP, "host": "tcp://192.0.2.10"}], [("error", "link.host", "L0.host")]),
    "port in the host": ([{**TCP, "host": "192.0.2.10:502"}], [("error", "link.host", "L0.host")]),
    "host on a serial link": ([{**BUS, "host": "127.0.0.1"}], [("error", "link.end", "L0.host")]),
    "port on a serial link": ([{**BUS, "port": 502}], [("error", "link.end", "L0.port")]),
    "baudrate on a network link": ([{**TCP, "baudrate": 9600}], [("error", "link.end", "L0.baudrate")]),
    "device over TCP": ([{**OVER_TCP, "device": "/dev/ttyS0"}], [("error", "link.end", "L0.device")]),
    "seven bits": ([{**BUS, "byte_size": 7}], [("error", "value.choice", "L0.byte_size")]),
    "three stop bits": ([{**BUS, "stop_bits": 3}], [("error", "value.choice", "L0.stop_bits")]),
    "mark parity": ([{**BUS, "parity": "mark"}], [("error", "value.choice", "L0.parity")]),
    "function 5": ([{**TCP, "write_function": 5}], [("error", "value.choice", "L0.write_function")]),
    "one port twice": ([BUS, {**BUS, "id": "b2"}], [("error", "link.device_twice", "L1.device")]),
    "one port by two names": (
        [BUS, {**BUS, "id": "b2", "device": "/dev/../dev/ttyUSB7"}],
        [("error", "link.device_twice", "L1.device")],
    ),
    "certificates on a serial link": (
        [{**BUS, "tls": {"ca": "site.yaml", "certificate": "site.yaml", "key": "site.yaml"}}],
        [("error", "link.tls", "L0.tls")],
    ),
    "connections on RTU": ([{**OVER_TCP, "max_connections": 2}], [("error", "link.rtu", "L0.max_connections")]),
    "transaction ids on RTU": ([{**BUS, "tid_zero": True}], [("error", "link.rtu", "L0.tid_zero")]),
    "echo on Modbus/TCP": ([{**TCP, "local_echo": True}], [("error", "link.rtu", "L0.local_echo")]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_said_once(tmp_path: Path, case: str) -> None:
    links, expected = WRONG[case]
    assert problems(tmp_path, *links) == expected


@pytest.mark.parametrize(("unit", "right"), [(0, False), (1, True), (247, True), (248, False), (255, False)])
def test_units_on_a_serial_line(tmp_path: Path, unit: int, right: bool) -> None:
    expected = [] if right else [("error", "device.unit_serial", "meters[0].unit")]
    assert problems(tmp_path, BUS, unit=unit) == expected


def test_plain_writes_are_warned_of_on_a_network_but_not_on_a_serial_line(tmp_path: Path) -> None:
    for link, expected in ((BUS, []), ({**OVER_TCP, "host": "10.1.1.1"}, ["link.plain_writes"])):
        data = site_dict(racks=4, feeds=2)
        data["links"].append(link)
        data["mims"][0].update(link=link["id"], unit=200)
        _, found = check_site(write_site(tmp_path, data))
        assert [p.code for p in found] == expected


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.10",
        "::1",
        "2001:db8::7",
        "fe80::1%eth0",
        "localhost",
        "gw-1.hall.example",
        "gw_1",
        "3com.example",
        "hall.example.",
        "münchen",
    ],
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.10:502",
        "tcp://gw",
        "gate way!",
        "192.0.2.300",
        "192.0.2",
        "[::1]",
        "-gw",
        "gw-",
        "a..b",
        "gw/1",
        "x" * 64,
        "a." * 127 + "a",
    ],
)
def test_neither_name_nor_address_is_no_host(host: str) -> None:
    """RFC 1123, section 2.1, and RFC 1035, section 2.3.4."""
    assert not is_host(host)


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("192.0.2.10:502", " ('host: 192.0.2.10', 'port: 502')"),
        ("tcp://gw.example:1502/", " ('host: gw.example', 'port: 1502')"),
        ("http://gw", " ('host: gw')"),
        ("[2001:db8::7]:502", " ('host: 2001:db8::7', 'port: 502')"),
        ("gate way!", ""),
    ],
)
def test_what_is_meant_by_a_wrong_host_is_shown(tmp_path: Path, host: str, hint: str) -> None:
    data = site_dict(racks=2)
    data["links"][0]["host"] = host
    (problem,) = check_site(write_site(tmp_path, data))[1]
    assert problem.message == f"'{host}': host is a name or an address; write the port in 'port:'{hint}"


def slow(folder: Path, cycle: str = "1 s", **link: Any) -> list[str]:
    """Problems of a PDU whose link, with a meter and twelve more meters and MIMs each, is another."""
    data = site_dict(racks=12)
    data["links"][1] = {"id": data["links"][1]["id"], **link}
    data["zones"] = [{"id": "z", "heads": ["feed-a"], "cycle": cycle}]
    return [f"{p.severity.value} {p.code}: {p.message}" for p in check_site(write_site(folder, data))[1]]


def test_a_serial_line_that_cannot_keep_up_with_the_cycle_is_refused(tmp_path: Path) -> None:
    """At 9600 bit/s with parity a character takes 11 / 9600 s; every request has two silences of 3.5 characters.

    13 meters: 13 + 2·107 = 227 characters and 7 of silence. 12 MIMs: two reads of 38 registers (89 and 7 each) and one write of 26
    (69 and 7). In all 13·234 + 12·(2·96 + 76) = 6258 characters: 7.17 s.
    """
    serial = {"type": "modbus_rtu", "device": "/dev/ttyUSB0"}
    (told,) = slow(tmp_path, **serial, baudrate=9600)
    assert told == (
        "error link.cycle_too_short: its 25 devices take 37 reads and 12 writes at 9600 bit/s, 7.17 s of each cycle of 1 s; "
        "80% of a link's time is usable: a cycle of 9 s, a higher baudrate, or fewer devices on the link"
    )
    assert [p for p in slow(tmp_path, cycle="3 s", **serial, baudrate=9600) if "link.cycle_too_short" in p] != []
    assert not slow(tmp_path, **serial, baudrate=115200)


def test_quiet_times_between_requests_count(tmp_path: Path) -> None:
    """49 requests of 1 ms, as on the loopback, and 30 ms between them: 1.52 s."""
    gateway = {"host": "127.0.0.1", "port": 1502, "request_gap": "30 ms"}
    (told,) = slow(tmp_path, **gateway)
    assert "take 37 reads and 12 writes of 1 ms with 30 ms between them, 1.52 s of each cycle of 1 s" in told
    assert not slow(tmp_path, **gateway, max_connections=2)
    assert not slow(tmp_path, cycle="2 s", **gateway)


@pytest.mark.parametrize(
    ("latency", "shown"), [("999.6 ms", "1000 ms"), ("1 s", "1000 ms"), ("1234 ms", "1230 ms"), ("2.5 s", "2500 ms")]
)
def test_long_times_are_shown_as_plain_figures(tmp_path: Path, latency: str, shown: str) -> None:
    (told,) = slow(tmp_path, host="192.0.2.7", isolated=True, latency=latency)
    assert f"writes of {shown}, " in told
    assert "e+" not in told


def test_the_latency_of_a_link_is_by_its_kind_unless_it_is_named(tmp_path: Path) -> None:
    """49 requests: 0.49 s at 10 ms, 1.47 s at 30 ms."""
    far = {"host": "192.0.2.7", "isolated": True}
    assert not slow(tmp_path, **far)
    assert "of 30 ms, 1.47 s of each" in slow(tmp_path, **far, type="modbus_rtu_tcp")[0]
    assert "of 20 ms, 0.98 s of each" in slow(tmp_path, **far, latency="20 ms")[0]
    assert not slow(tmp_path, **far, type="modbus_rtu_tcp", latency="8 ms")
