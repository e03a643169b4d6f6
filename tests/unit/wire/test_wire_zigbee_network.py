"""Forming, letting one device in, backups and the map, on the in-memory radio."""

import asyncio
import logging
import sqlite3

import pytest

from mimctl.drivers.zigbee_group import ZigbeeGroup
from mimctl.model.clock import SystemClock
from mimctl.model.errors import Unreachable, UserError
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee import hands, network
from mimctl.wire.zigbee.air import Air, Frame
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.sticks import NoInstallCodes
from zigbee_mim import EUI, ZigbeeMim

RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
#: the example of the Zigbee Base Device Behavior Specification, 10.1
CODE, KEY = "83FED3407A939723A5C639B26916D505C3B5", "66b6900981e1ee3ca4206b6b861c02bb"


class Hand:
    """The commands of `network` on one air, with a database of its own."""

    def __init__(self, folder, air=None):
        self.air = Air() if air is None else air
        self.port = AirPort(self.air)
        self.radio = guarded(memory_radio(self.port))
        kept = self

        class Seen(self.radio):
            """Its gate can be looked at."""

            def __setattr__(self, name, value):
                if name == "gate":
                    kept.gate = value
                super().__setattr__(name, value)

        self.radio = Seen
        self.database = folder / "zb.db"

    def __getattr__(self, name):
        def call(*args, **kwargs):
            return getattr(network, name)(RADIO, self.database, *args, make_radio=lambda: self.radio, **kwargs)

        return call


@pytest.fixture
async def hand(tmp_path):
    made = Hand(tmp_path)
    await made.form(channel=20)
    return made


async def test_a_formed_network_has_a_random_key_and_is_not_formed_twice(hand, tmp_path):
    held = hand.air.stick.network
    with pytest.raises(UserError, match=r"has a network already.*--replace"):
        await hand.form()
    assert hand.air.stick.network == held
    other = Hand(tmp_path / "other")
    found = await other.form(channel=15)
    assert (found.channel, found.coordinator) == (15, hand.air.stick.eui)
    assert other.air.stick.network["network_key"]["key"] != held["network_key"]["key"]


@pytest.mark.parametrize(("code", "key"), [(CODE, KEY), (CODE.lower(), KEY)])
def test_the_key_of_an_install_code_is_that_of_the_specification(code, key):
    assert hands.link_key(code).serialize().hex() == key


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "has 0 digits"),
        (CODE[:-2], "has 34 digits"),
        (CODE[:-1] + "6", "check sum .* does not fit"),
        ("9" + CODE[1:], "check sum .* does not fit"),
        ("xyz", "hexadecimal"),
        (CODE[:-1], "hexadecimal"),
    ],
)
def test_an_install_code_that_is_none_is_refused_and_not_repeated(code, says):
    with pytest.raises(UserError, match=f"no install code: .*{says}") as told:
        hands.link_key(code)
    assert not code or code not in str(told.value)


@pytest.mark.parametrize("code", ["83FE D340 7A93 9723 A5C6 39B2 6916 D505 C3B5", "83FED340-7A939723-A5C639B2-6916D505-C3B5"])
def test_an_install_code_may_be_written_as_on_the_label(code):
    assert hands.link_key(code).serialize().hex() == KEY


async def comes(mim, air, key):
    """The device tries until it is let in."""
    while not air.admit(mim.node, bytes.fromhex(key)):  # noqa: ASYNC110 - as a device does
        await asyncio.sleep(0.01)
    mim.node.announce()


async def test_one_device_is_let_in_by_its_install_code_and_the_network_is_closed_behind_it(hand):
    mim, other = ZigbeeMim(hand.air), ZigbeeMim(hand.air, eui="00124b0000000002", nwk=0x1002)
    coming = asyncio.create_task(comes(mim, hand.air, KEY))
    guess = asyncio.create_task(comes(other, hand.air, KEY))
    found = await hand.permit(EUI, CODE, 5.0)
    assert (found.eui, found.maker, found.model, found.ready) == (EUI, "mimctl", "MIM", True)
    assert not hand.air.open_to
    await asyncio.sleep(0.05)
    assert not guess.done()
    guess.cancel()
    await coming
    assert [d.eui for d in await hand.devices()] == [EUI]


async def test_a_network_is_given_up_only_when_that_is_asked_for(hand):
    held = hand.air.stick.network
    await hand.form(channel=15, replace=True)
    assert hand.air.stick.network["network_key"]["key"] != held["network_key"]["key"]
    assert hand.air.stick.network["channel"] == 15
    assert await hand.devices() == []


async def test_a_flood_of_joins_while_one_is_let_in_stays_outside_and_is_counted(hand):
    mim = ZigbeeMim(hand.air)

    async def flood():
        while EUI not in hand.gate.invited:  # noqa: ASYNC110 - until the window is open
            await asyncio.sleep(0.01)
        for n in range(100):
            strange = bytes((n, 0, 0xAA, 0, 0, 0, 0, 0))
            nwk = (0x3000 + n).to_bytes(2, "little")
            hand.air.carry(Frame(0x3000 + n, 0, 0, 0, 0, 0x0013, b"\x01" + nwk + strange + b"\x8e"))
        while not hand.air.admit(mim.node, bytes.fromhex(KEY)):  # noqa: ASYNC110 - as a device does
            await asyncio.sleep(0.01)
        mim.node.announce()

    coming = asyncio.create_task(flood())
    found = await hand.permit(EUI, CODE, 5.0)
    await coming
    assert found.eui == EUI
    assert 100 <= found.turned_away <= 200  # the announcement, and some say their address when they are asked
    assert [d.eui for d in await hand.devices()] == [EUI]


async def test_after_its_window_even_the_invited_device_is_refused(hand):
    with pytest.raises(UserError, match="did not join"):
        await hand.permit(EUI, CODE, 0.3)
    assert not hand.gate.invited
    assert not hand.gate.admits(EUI, asyncio.get_running_loop().time())


async def test_a_window_that_cannot_be_opened_is_told_at_once(hand):
    async def refuse(*_):
        raise NoInstallCodes("old")

    hand.radio.permit_with_link_key = refuse
    with pytest.raises(Unreachable, match="firmware cannot keep devices without an install code out"):
        await hand.permit(EUI, CODE, 60.0)


async def test_a_coordinator_that_goes_in_the_window_is_told_at_once(hand):
    async def pull():
        while not hand.air.open_to:  # noqa: ASYNC110 - until the window is open
            await asyncio.sleep(0.01)
        hand.air.unplug()

    pulling = asyncio.create_task(pull())
    with pytest.raises(Unreachable, match="lost"):
        await hand.permit(EUI, CODE, 60.0)
    await pulling


async def test_a_device_that_does_not_come_is_told_and_the_network_is_closed(hand):
    with pytest.raises(UserError, match="did not join"):
        await hand.permit(EUI, CODE, 0.3)
    assert not hand.air.open_to


async def test_a_device_with_another_key_stays_outside(hand):
    coming = asyncio.create_task(comes(ZigbeeMim(hand.air), hand.air, "00" * 16))
    with pytest.raises(UserError, match="did not join"):
        await hand.permit(EUI, CODE, 0.3)
    coming.cancel()


@pytest.mark.parametrize("seconds", [0, 61, 3600])
async def test_the_window_is_short(hand, seconds):
    with pytest.raises(UserError, match="60 s at most"):
        await hand.permit(EUI, CODE, seconds)


@pytest.mark.parametrize("eui", ["", "12", "00:12:4b:00:00:00:00:0g", "0123456789abcdef01"])
async def test_an_address_that_is_none_is_refused(hand, eui):
    with pytest.raises(UserError, match="no EUI-64"):
        await hand.permit(eui, CODE)


async def test_a_backup_goes_on_another_coordinator_and_counts_on(hand, tmp_path):
    kept = await hand.backup()
    spare = Hand(tmp_path / "spare")
    found = await spare.restore(kept)
    before, after = hand.air.stick.network, spare.air.stick.network
    assert after["network_key"]["key"] == before["network_key"]["key"]
    assert after["network_key"]["tx_counter"] == before["network_key"]["tx_counter"] + 10000
    assert (found.channel, found.coordinator) == (20, hand.air.stick.eui)


@pytest.mark.parametrize("kept", [{}, {"network_info": {}}, {"network_info": 7, "node_info": None, "backup_time": "x"}])
async def test_what_is_no_backup_is_refused(hand, kept):
    held = hand.air.stick.network
    with pytest.raises(UserError, match="no backup"):
        await hand.restore(kept)
    assert hand.air.stick.network == held


async def test_the_map_shows_who_hears_whom(hand):
    coming = asyncio.create_task(comes(ZigbeeMim(hand.air), hand.air, KEY))
    await hand.permit(EUI, CODE, 5.0)
    await coming
    (line,) = await hand.survey()
    assert (line.of, line.nwk, line.lqi) == (EUI, "0000", 200)


@pytest.mark.parametrize("what", ["backup", "devices", "survey"])
async def test_without_a_network_or_a_coordinator_it_says_so(tmp_path, what):
    hand = Hand(tmp_path)
    with pytest.raises(Unreachable, match="mimctl zigbee form"):
        await getattr(hand, what)()
    hand.port.present = False
    with pytest.raises(Unreachable, match="it is not there"):
        await getattr(hand, what)()


async def test_a_damaged_database_is_told(hand):
    hand.database.write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="damaged"):
        await hand.devices()


async def test_the_database_holds_the_key_as_the_security_page_says(hand):
    with sqlite3.connect(hand.database) as database:
        kept = "".join(row[0] for row in database.execute("SELECT backup_json FROM network_backups_v16"))
    database.close()
    assert hand.air.stick.network["network_key"]["key"] in kept


async def test_no_key_is_in_any_log_or_word_of_forming_joining_backing_up_and_bringing_back(tmp_path, caplog, capfd):
    for name in ("zigpy", "zigpy_znp", "bellows", "aiosqlite", "serialx"):  # as a program would that wants to see everything
        logging.getLogger(name).setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    said = []
    hand = Hand(tmp_path)
    said.append(await hand.form(channel=20))
    coming = asyncio.create_task(comes(ZigbeeMim(hand.air), hand.air, KEY))
    said.append(await hand.permit(EUI, CODE, 5.0))
    await coming
    kept = await hand.backup()
    spare = Hand(tmp_path / "spare")
    said += [await spare.restore(kept), await spare.devices(), await hand.survey()]
    held = hand.air.stick.network["network_key"]["key"]
    wrong = [
        hand.permit(EUI, CODE[:-1] + "6"),
        hand.permit(EUI, CODE, 0.2),
        spare.restore({**kept, "node_info": None}),
        spare.restore({**kept, "network_info": {**kept["network_info"], "network_key": {"key": held + "zz"}}}),
        hand.form(),
    ]
    await hand.form(replace=True)
    hand.air.stick.network = {**hand.air.stick.network, "pan_id": "0001"}
    wrong.append(hand.devices())  # another network than the backup's
    for attempt in wrong:
        with pytest.raises((UserError, Unreachable)) as told:
            await attempt
        said += [str(told.value), *(repr(error) for error in _causes(told.value))]
    out, err = capfd.readouterr()
    spoken = "".join(map(str, said)) + caplog.text + out + err
    secrets = [held, hand.air.stick.network["network_key"]["key"], KEY, CODE]
    for secret in secrets:
        assert _digits(secret) not in _digits(spoken)
    assert _digits(held) in _digits(str(kept))  # the search would find it


def _digits(text):
    return text.lower().replace(":", "").replace(" ", "")


def _causes(error):
    """What a traceback would show."""
    while (error := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        yield error


async def test_a_bridge_shows_no_key_in_its_status_or_its_representation(hand, tmp_path):
    bridge = ZigbeeBridge("zb", RADIO, hand.database, SystemClock(), make_radio=lambda: hand.radio)
    await bridge.open()
    async with asyncio.timeout(10):
        while not bridge.connected:  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.01)
    shown = _digits(repr(bridge) + str(ZigbeeGroup(bridge).status()))
    await bridge.close()
    assert _digits(hand.air.stick.network["network_key"]["key"]) not in shown
