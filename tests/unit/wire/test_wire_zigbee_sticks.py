"""The packages of both families of coordinators, as far as they can be asked without a stick."""

import asyncio
import contextlib
import os
import threading

import pytest
import zigpy.state
import zigpy.types as t
from bellows.types import sl_Status

from mimctl.model.clock import SystemClock
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.guard import Gate
from mimctl.wire.zigbee.pace import Pace
from mimctl.wire.zigbee.radios import configuration, radio_class
from mimctl.wire.zigbee.sticks import NoInstallCodes

NODE, KEY = t.EUI64.convert("00124b0000000001"), t.KeyData(bytes(range(16)))


def made(kind, folder):
    radio = ZigbeeRadio(kind, "/dev/null")
    found = radio_class(radio)

    class Quiet(found):
        """What it would send is kept."""

        async def send_packet(self, packet):
            sent.append(packet)

        async def permit_ncp(self, time_s=60):
            windows.append(time_s)

    sent, windows = [], []
    app = Quiet(configuration(radio, folder / "zb.db"))
    app.gate, app.windows = Gate(), windows
    app.state.node_info = zigpy.state.NodeInfo(nwk=t.NWK(0), ieee=t.EUI64.convert("00124b0000c0ffee"))
    return app


class Znp:
    """Keeps what is listened to."""

    def __init__(self):
        self.heard = {}

    def callback_for_response(self, response, callback):
        self.heard[type(response).__qualname__] = callback


class Ezsp:
    """Keeps what is asked."""

    def __init__(self, version):
        self.ezsp_version, self.asked = version, []

    def __getattr__(self, name):
        async def ask(*args, **named):
            self.asked.append((name, args, named))
            return sl_Status.OK

        return ask


def test_a_restart_of_z_stack_is_a_lost_coordinator_once_and_only_while_it_runs(tmp_path):
    app = made(RadioKind.ZNP, tmp_path)
    lost = []
    app.add_listener(type("Told", (), {"connection_lost": lambda _, error: lost.append(error)})())
    app._znp = Znp()
    app._bind_callbacks()
    (restarted,) = (heard for name, heard in app._znp.heard.items() if "ResetInd" in name)
    restarted(None)
    assert lost == []  # it is being started
    app._runs = True
    restarted(None)
    restarted(None)
    assert [type(error) for error in lost] == [ConnectionResetError]


async def test_an_old_z_stack_that_knows_no_install_codes_is_told(tmp_path):
    from zigpy_znp.exceptions import CommandNotRecognized

    class Old:
        async def request(self, *_, **__):
            raise CommandNotRecognized("0x2F")

    app = made(RadioKind.ZNP, tmp_path)
    app._znp = Old()
    with pytest.raises(NoInstallCodes, match="Z-Stack 3"):
        await app.permit_with_link_key(NODE, KEY, 10)


async def test_closing_the_network_of_emberznet_never_lets_the_key_that_all_know_in(tmp_path):
    app = made(RadioKind.EZSP, tmp_path)
    app._ezsp = Ezsp(13)
    await app.permit(0)
    assert app.windows == [0]
    assert app._ezsp.asked == []


async def test_a_window_of_emberznet_demands_the_install_code_of_one_device(tmp_path):
    from bellows.types import EzspDecisionBitmask, EzspPolicyId

    app = made(RadioKind.EZSP, tmp_path)
    app._ezsp = Ezsp(13)
    await app.permit_with_link_key(NODE, KEY, 10)
    (key, policy) = app._ezsp.asked
    assert key == ("add_transient_link_key", (NODE, KEY), {})
    assert policy[2]["policyId"] is EzspPolicyId.TRUST_CENTER_POLICY
    assert policy[2]["decisionId"] & EzspDecisionBitmask.JOINS_USE_INSTALL_CODE_KEY
    assert app.windows == [10]


@pytest.mark.parametrize("version", [4, 7])
async def test_an_emberznet_that_would_let_everybody_in_is_refused(tmp_path, version):
    app = made(RadioKind.EZSP, tmp_path)
    app._ezsp = Ezsp(version)
    with pytest.raises(NoInstallCodes, match=r"EmberZNet 6\.7"):
        await app.permit_with_link_key(NODE, KEY, 10)
    assert app.windows == []


@pytest.mark.parametrize("kind", [RadioKind.ZNP, RadioKind.EZSP])
async def test_green_power_devices_never_get_a_window(tmp_path, kind):
    app = made(kind, tmp_path)
    await app.permit_gp(60)
    assert not app.green_power.is_commissioning


def test_the_serial_port_of_emberznet_has_no_thread_of_its_own(tmp_path):
    assert made(RadioKind.EZSP, tmp_path).config["use_thread"] is False


@contextlib.asynccontextmanager
async def line(kind, noise):
    """Where something listens that is no coordinator: it says nothing, or only noise."""
    if kind == "pty":
        theirs, ours = os.openpty()
        try:
            os.write(theirs, noise)
            yield os.ttyname(ours)
        finally:
            os.close(theirs)
            os.close(ours)
        return
    gone = asyncio.Event()

    async def serve(_, writer):
        writer.write(noise)
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        gone.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("noise", [b"", bytes(range(1, 256)) * 4], ids=["silence", "noise"])
@pytest.mark.parametrize("at", ["socket", "pty"])
@pytest.mark.parametrize("kind", [RadioKind.ZNP, RadioKind.EZSP])
async def test_what_is_no_coordinator_is_told_tried_again_and_let_go_at_once(tmp_path, kind, at, noise):
    pace = Pace(first_s=0.02, most_s=0.05, start_s=0.6, close_s=2.0)
    async with line(at, noise) as device:
        bridge = ZigbeeBridge("zb", ZigbeeRadio(kind, device), tmp_path / "zb.db", SystemClock(), pace)
        await bridge.open()
        async with asyncio.timeout(20):
            while bridge.trouble == "not started":  # noqa: ASYNC110 - nobody signals it
                await asyncio.sleep(0.02)
        assert not bridge.connected
        assert "mimctl zigbee form" not in bridge.trouble  # that would be advice to overwrite something
        async with asyncio.timeout(8):
            await bridge.close()
    assert not [thread for thread in threading.enumerate() if "connection_worker" in thread.name or "bellows" in thread.name]
