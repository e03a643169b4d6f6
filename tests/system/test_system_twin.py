"""`mimctl twin` on loopback: clients of other makers find and read every virtual device."""

from __future__ import annotations

import asyncio
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sunspec2.device
import sunspec2.modbus.client as sunspec
from tests.system.twin_process import ready

from mimctl.config.site import load_site
from mimctl.model.address import SUNSPEC
from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkDown
from mimctl.model.link import Link, LinkType, TlsFiles
from mimctl.model.resources import data_root, site_config
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.tls import make_throwaway_pki

Start = Callable[..., "subprocess.Popen[str]"]

METER_POINTS = {203: ("PhVphA", "AphA", "WphA", "VARphA", "W", "Hz"), 213: ("PhVphA", "AphA", "WphA", "VARphA", "W", "Hz")}


@pytest.fixture(scope="module", autouse=True)
def _vendor_models() -> None:
    sunspec2.device.set_model_defs_path([str(data_root() / "device_profiles/sunspec/models"), sunspec2.device.models_dir])


def scan(host: str, port: int, unit: int, tls: dict[str, Any] | None = None) -> dict[int, dict[str, Any]]:
    """All models of a device, by pysunspec2's own client."""
    secure: dict[str, Any] = {}
    if tls:
        secure = {"tls": True, "cafile": tls["ca"], "certfile": tls["certificate"], "keyfile": tls["key"]}
    device = sunspec.SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr=host, ipport=port, timeout=10, **secure)
    device.connect()
    try:
        device.scan()
        assert all(not model.error_info for model in device.model_list)
        return {model.model_id: model.get_dict(computed=True) for model in device.model_list}
    finally:
        device.disconnect()


def test_other_makers_read_every_device_of_the_demo_site(start_mimctl: Start, tmp_path: Path) -> None:
    file = tmp_path / "twin.json"
    path = site_config("demo")
    process = start_mimctl("twin", path, "--free-ports", "--json", file, "--seed", "3")
    served = ready(process, file)
    site = load_site(path)
    assert {d["id"] for d in served["devices"]} == {d.id for d in (*site.meters, *site.mims)}
    ports = {mim.id: len(mim.ports) for mim in site.mims}
    batteries = {battery.mim for battery in site.batteries}
    for device in served["devices"]:
        link = served["links"][device["link"]]
        if device["profile"] != SUNSPEC:
            _read_by_profile(link, device)
            continue
        models = scan(link["host"], link["port"], device["unit"])
        assert models[1]["Mn"] == "mimctl"
        assert models[1]["SN"] == device["id"]
        if device["id"] in ports:
            expected = [1, *([713] if device["id"] in batteries else []), 64900, 64901]
            assert list(models) == expected
            assert models[64901]["NPh"] == models[64900]["NPh"] == ports[device["id"]]
            assert all(200 < port["V"] < 260 for port in models[64901]["Ph"])
            assert all(port["W"] == 0 for port in models[64901]["Ph"])
        else:
            (number,) = set(models) - {1}
            points = models[number]
            assert all(points[name] is not None for name in METER_POINTS[number])
            assert points["W"] == pytest.approx(points["WphA"] + points["WphB"] + points["WphC"], abs=2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, err) == (0, "")
    assert all(d["id"] in out for d in served["devices"])


def _read_by_profile(link: dict[str, Any], device: dict[str, Any]) -> None:
    """A third-party meter by its profile: its driver reads plausible volts."""
    from mimctl.drivers.registry import build_groups
    from mimctl.service.links import site_profiles

    site = load_site(site_config("demo"))
    meters = tuple(m for m in site.meters if m.id == device["id"])
    here = tuple(replace(k, host=link["host"], port=link["port"], timeout_s=5.0) for k in site.links if k.id == device["link"])
    alone = replace(site, meters=meters, mims=(), batteries=(), links=here)

    async def read() -> None:
        (group,) = build_groups(alone, lambda spec: ModbusLink(spec, SystemClock()), site_profiles(alone), SystemClock())
        await group.open()
        try:
            sample = await group.drivers[device["id"]].read()
        finally:
            await group.close()
        volts = [sample.get(f"voltage.{place}") for place in ("L1", "L2", "L3")]
        assert all(v is not None and 200 < v < 260 for v in volts)
        assert sample.get("active_power.L1") is not None

    asyncio.run(read())


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll (Debian package) is not installed")
def test_mbpoll_reads_a_device(start_mimctl: Start, tmp_path: Path) -> None:
    file = tmp_path / "twin.json"
    served = ready(start_mimctl("twin", site_config("demo"), "--free-ports", "--json", file), file)
    link = served["links"][served["devices"][0]["link"]]
    command = ["mbpoll", "-m", "tcp", "-p", str(link["port"]), "-a", "1", "-0", "-r", "40000", "-c", "3", "-t", "4:hex", "-1"]
    result = subprocess.run([*command, link["host"]], capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    # the SunSpec mark, then the id of the common model
    assert [f"{word:04X}" for word in (*struct.unpack(">2H", b"SunS"), 1)] == [
        line.split()[-1].removeprefix("0x") for line in result.stdout.splitlines() if line.startswith("[")
    ]


def _tls_site(directory: Path, tls: TlsFiles) -> Path:
    """The demo site with all of its links as TLS."""
    text = site_config("demo").read_text()
    files = f"tls: {{ca: {tls.ca}, certificate: {tls.certificate}, key: {tls.key}, server_name: localhost}}"
    lines = [
        line[: line.rindex("}")] + f", type: modbus_tls, {files}}}" if line.lstrip().startswith("- {id: gw-") else line
        for line in text.splitlines()
    ]
    site = directory / "secure.yaml"
    site.write_text("\n".join(lines) + "\n")
    return site


@pytest.mark.parametrize("own_server_files", [True, False], ids=["server files beside the CA", "throw-away files"])
def test_tls_site_is_served_to_those_who_show_a_certificate(start_mimctl: Start, tmp_path: Path, own_server_files: bool) -> None:
    pki = make_throwaway_pki(tmp_path / "pki")
    if not own_server_files:
        (tmp_path / "pki" / "server.key").unlink()
    site = _tls_site(tmp_path, pki.client)
    file = tmp_path / "twin.json"
    process = start_mimctl("twin", site, "--free-ports", "--json", file)
    served = ready(process, file)
    link = served["links"]["gw-pdu-a1"]
    assert (link["tls"]["ca"] == str(pki.client.ca)) == own_server_files
    files = TlsFiles(**{name: Path(link["tls"][name]) for name in ("ca", "certificate", "key")}, server_name="localhost")
    base = Link("link", LinkType.MODBUS_TLS, link["host"], link["port"], timeout_s=5.0, tls=files)
    assert asyncio.run(_read_mark(base)) == b"SunS"
    with pytest.raises(LinkDown):
        asyncio.run(_read_mark(replace(base, type=LinkType.MODBUS_TCP)))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    if not own_server_files:
        assert not files.key.exists()


def test_pysunspec2_reads_over_tls(start_mimctl: Start, tmp_path: Path) -> None:
    pki = make_throwaway_pki(tmp_path / "pki")
    file = tmp_path / "twin.json"
    served = ready(start_mimctl("twin", _tls_site(tmp_path, pki.client), "--free-ports", "--json", file), file)
    link = served["links"]["gw-pdu-a1"]
    for device in served["devices"]:
        if device["link"] == "gw-pdu-a1":
            assert 1 in scan("localhost", link["port"], device["unit"], link["tls"])


async def _read_mark(spec: Link) -> bytes:
    link = ModbusLink(spec, SystemClock())
    await link.open()
    try:
        return await link.read(1, 40000, 2)
    finally:
        await link.close()


def test_interrupt_ends_with_130_and_end_of_input_with_0(start_mimctl: Start, tmp_path: Path) -> None:
    first = start_mimctl("twin", site_config("demo"), "--free-ports", "--json", tmp_path / "a.json")
    options = ("--free-ports", "--while-stdin", "--json", tmp_path / "b.json")
    second = start_mimctl("twin", site_config("demo"), *options, stdin=subprocess.PIPE)
    ready(first, tmp_path / "a.json")
    ready(second, tmp_path / "b.json")
    first.send_signal(signal.SIGINT)
    assert first.wait(15) == 130
    assert first.stderr is not None
    assert first.stderr.read() == ""
    second.communicate(timeout=15)
    assert second.returncode == 0


def test_address_in_use_is_one_line_and_exit_3(start_mimctl: Start, tmp_path: Path, free_port: int) -> None:
    text = site_config("demo").read_text()
    site = tmp_path / "site.yaml"
    site.write_text("\n".join(line.replace("port: 15020", f"port: {free_port}") for line in text.splitlines()))
    import socket

    with socket.create_server(("127.0.0.1", free_port)):
        process = start_mimctl("twin", site)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert err.splitlines() == [f"mimctl: cannot listen on 127.0.0.1:{free_port}: address already in use"]
