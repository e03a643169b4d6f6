"""Modbus/TCP Security: both sides prove who they are, and a failure says which side refused what."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from modbus_device import Device, Script, until

from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal, LinkDown, UserError
from mimctl.model.link import Link, LinkType, TlsFiles
from mimctl.wire import tls
from mimctl.wire.modbus import LinkPolicy, ModbusLink
from mimctl.wire.modbus_server import ModbusServer

FAST = LinkPolicy(reconnect_first_s=0.05, reconnect_max_s=0.1, connect_timeout_s=3.0)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> tls.ThrowawayPki:
    return tls.make_throwaway_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def other_pki(tmp_path_factory: pytest.TempPathFactory) -> tls.ThrowawayPki:
    return tls.make_throwaway_pki(tmp_path_factory.mktemp("other"))


class Bank:
    """Register `a` holds `a`; one may write 10 registers."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def read(self, address: int, count: int) -> bytes:
        return struct.pack(f">{count}H", *range(address, address + count))

    def write(self, address: int, data: bytes) -> None:
        self.written.append((address, data))


@asynccontextmanager
async def served(
    server_files: TlsFiles, client_files: TlsFiles | None, **options: object
) -> AsyncIterator[tuple[ModbusLink, Bank]]:
    bank = Bank()
    server = ModbusServer("127.0.0.1", 0, {1: bank}, tls.server_context(server_files), **options)
    host, port = await server.start()
    kind = LinkType.MODBUS_TLS if client_files else LinkType.MODBUS_TCP
    link = ModbusLink(Link("link", kind, host, port, timeout_s=3.0, tls=client_files), SystemClock(), policy=FAST)
    await link.open()
    try:
        yield link, bank
    finally:
        await link.close()
        await server.stop()


async def test_reads_and_writes_over_mutual_tls(pki: tls.ThrowawayPki) -> None:
    async with served(pki.server, pki.client) as (link, bank):
        assert await link.read(1, 100, 3) == struct.pack(">3H", 100, 101, 102)
        await link.write(1, 7, b"\0\1\0\2")
        assert bank.written == [(7, b"\0\1\0\2")]


@pytest.mark.parametrize("minimum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_nothing_below_tls_1_2(pki: tls.ThrowawayPki, minimum: ssl.TLSVersion) -> None:
    assert tls.client_context(pki.client).minimum_version == ssl.TLSVersion.TLSv1_2
    context = tls.server_context(pki.server)
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED)


async def test_server_of_another_authority_is_not_trusted(pki: tls.ThrowawayPki, other_pki: tls.ThrowawayPki) -> None:
    async with served(other_pki.server, pki.client) as (link, _):
        with pytest.raises(LinkDown, match=r"TLS: the certificate of the device is not of the authority in .*ca\.pem \("):
            await link.read(1, 0, 1)


async def test_client_of_another_authority_is_refused(pki: tls.ThrowawayPki, other_pki: tls.ThrowawayPki) -> None:
    """TLS 1.3 tells the client only after its handshake: the first request fails at once, not by its timeout."""
    stranger = replace(other_pki.client, ca=pki.client.ca)
    async with served(pki.server, stranger) as (link, bank):
        with pytest.raises(LinkDown, match=r"not accept .*client\.pem"):
            await link.read(1, 0, 1)
        assert link.counts.timeouts == 0
        assert bank.written == []


async def test_expired_server_certificate_is_refused(pki: tls.ThrowawayPki, tmp_path: Path) -> None:
    old = tls.make_throwaway_pki(tmp_path, now=datetime.now(UTC) - timedelta(days=30), valid=timedelta(days=7))
    async with served(old.server, old.client) as (link, _):
        with pytest.raises(LinkDown, match="TLS: the certificate of the device is not accepted: certificate has expired"):
            await link.read(1, 0, 1)


async def test_wrong_server_name_is_refused(pki: tls.ThrowawayPki) -> None:
    async with served(pki.server, replace(pki.client, server_name="mim-7.example")) as (link, _):
        with pytest.raises(LinkDown, match=r"TLS: .*Hostname mismatch.* 'mim-7\.example'; set 'server_name'"):
            await link.read(1, 0, 1)


async def test_without_a_server_name_the_host_must_be_in_the_certificate(pki: tls.ThrowawayPki) -> None:
    async with served(pki.server, replace(pki.client, server_name=None)) as (link, _):
        await link.read(1, 0, 1)


async def test_client_without_certificate_is_refused(pki: tls.ThrowawayPki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "client_context", lambda files: ssl.create_default_context(cafile=files.ca))
    async with served(pki.server, pki.client) as (link, _):
        with pytest.raises(LinkDown, match="not accept"):
            await link.read(1, 0, 1)
        assert link.counts.timeouts == 0


async def test_plain_client_gets_nothing_from_a_tls_server(pki: tls.ThrowawayPki) -> None:
    async with served(pki.server, None) as (link, _):
        with pytest.raises(LinkDown):
            await link.read(1, 0, 1)


async def test_tls_client_gets_nothing_from_a_plain_server(pki: tls.ThrowawayPki) -> None:
    server = ModbusServer("127.0.0.1", 0, {1: Bank()})
    host, port = await server.start()
    spec = Link("link", LinkType.MODBUS_TLS, host, port, tls=pki.client)
    link = ModbusLink(spec, SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown, match=r"(does it|seem to) speak TLS"):
        await link.read(1, 0, 1)
    await link.close()
    await server.stop()


async def test_tls_link_without_files_never_falls_back_to_plain() -> None:
    server = ModbusServer("127.0.0.1", 0, {1: Bank()})
    host, port = await server.start()
    link = ModbusLink(Link("link", LinkType.MODBUS_TLS, host, port), SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown, match="names no TLS files"):
        await link.read(1, 0, 1)
    await link.close()
    await server.stop()


@pytest.mark.parametrize("place", [3, 7, 9, 15])
async def test_answer_split_over_two_records(pki: tls.ThrowawayPki, place: int) -> None:
    split: Script = lambda r: [r.good()[:place], 0.02, r.good()[place:]]  # noqa: E731
    device = Device([split], tls=tls.server_context(pki.server))
    await device.start()
    spec = Link("link", LinkType.MODBUS_TLS, "127.0.0.1", device.port, timeout_s=3.0, tls=pki.client)
    link = ModbusLink(spec, SystemClock(), policy=FAST)
    await link.open()
    assert await link.read(1, 100, 3) == struct.pack(">3H", 100, 101, 102)
    await link.close()
    await until(lambda: not device.tasks)
    await device.stop()


async def test_renewed_files_are_taken_up_by_the_next_connection(pki: tls.ThrowawayPki, tmp_path: Path) -> None:
    await asyncio.to_thread(tls.make_throwaway_pki, tmp_path)
    mine = replace(pki.client, ca=tmp_path / "ca.pem")
    async with served(pki.server, mine) as (link, _):
        with pytest.raises(LinkDown):
            await link.read(1, 0, 1)
        (tmp_path / "ca.pem").write_bytes(pki.client.ca.read_bytes())
        await until(lambda: link.connected)
        await link.read(1, 0, 1)


@pytest.mark.parametrize(("role", "reads", "writes"), [("operator", True, True), ("viewer", True, False), (None, False, False)])
async def test_role_in_the_certificate_decides_what_is_served(tmp_path: Path, role: str | None, reads: bool, writes: bool) -> None:
    def access(role: str | None, function: int) -> bool:
        return role == "operator" or (role == "viewer" and function in (3, 4))

    own = tls.make_throwaway_pki(tmp_path, role=role)
    async with served(own.server, own.client, access=access) as (link, bank):
        for allowed, request in ((reads, link.read(1, 0, 1)), (writes, link.write(1, 0, b"\0\1"))):
            if allowed:
                await request
            else:
                with pytest.raises(DeviceRefusal) as caught:
                    await request
                assert caught.value.code == 1
        assert len(bank.written) == int(writes)


def test_missing_or_unfit_files_are_named(pki: tls.ThrowawayPki, other_pki: tls.ThrowawayPki, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello")
    for broken in (
        replace(pki.client, key=tmp_path / "absent.key"),
        replace(pki.client, ca=nonsense),
        replace(pki.client, certificate=nonsense),
        replace(pki.client, key=other_pki.client.key),
    ):
        with pytest.raises(UserError, match=r"\.(pem|key)"):
            tls.client_context(broken)
