"""Profiles of devices with payloads: find the file, find what is wrong with it, make its layouts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from mimctl.config.profiles.keys import key_problems
from mimctl.config.profiles.payload_group import group_frames, group_problems, group_vectors
from mimctl.config.profiles.payload_schema import FrameItem, PayloadFieldItem, PayloadProfileFile
from mimctl.config.profiles.shelf import ProfileShelf, provenance
from mimctl.model.link import LinkType
from mimctl.model.payload import DownlinkVector, FieldType, Frame, PayloadField, PayloadProfile, Question, UplinkVector
from mimctl.model.problem import Problem, error, warning
from mimctl.model.profile import DeviceClass
from mimctl.model.site import Site

_SETPOINTS = re.compile(r"(active_power|reactive_power)\.port([1-9][0-9]*)\Z")


def _file_problems(file: PayloadProfileFile) -> Iterator[Problem]:
    for i, frame in enumerate(file.uplinks):
        yield from _frame_problems(f"uplinks[{i}]", frame)
        for key in frame.fields:
            yield from key_problems(f"uplinks[{i}].fields.{key}", key)
    for (i, one), (k, other) in combinations(enumerate(file.uplinks), 2):
        a, b = bytes.fromhex(one.header), bytes.fromhex(other.header)
        if one.f_port == other.f_port and one.length == other.length and (a.startswith(b) or b.startswith(a)):
            text = f"nothing tells it from uplinks[{i}]: another port, length or header must"
            yield error("payload.ambiguous", f"uplinks[{k}]", text)
    yield from _question_problems(file)
    if file.setpoint is not None:
        yield from _frame_problems("setpoint", file.setpoint)
        yield from _setpoint_problems(file, file.setpoint)
        if not file.command_tests:
            text = "nothing proves the frames of these setpoints: work some out by hand and give them as 'command_tests'"
            yield warning("profile.command_test", "setpoint", text)
    elif file.command_tests:
        yield error("payload.setpoint", "command_tests", "there is no 'setpoint' to test")
    powers = set() if file.setpoint is None else {key for key in file.setpoint.fields if _SETPOINTS.match(key)}
    yield from group_problems(file, _frame_problems, powers)


def _frame_problems(path: str, frame: FrameItem) -> Iterator[Problem]:
    taken = [0xFF] * (len(frame.header.replace(" ", "")) // 2) + [0] * frame.length
    for key, item in frame.fields.items():
        where = f"{path}.fields.{key}"
        field = payload_field(key, item)
        if field.end > frame.length:
            yield error("payload.field", where, f"it ends at byte {field.end}, the frame has {frame.length}")
            continue
        if item.mask and (item.mask >> 8 * field.type.size or (item.mask >> field.shift) & ((item.mask >> field.shift) + 1)):
            yield error("payload.field", f"{where}.mask", f"{item.mask:#x} is no single run of bits of a {field.type}")
            continue
        if item.mask and field.type is FieldType.FLOAT32:
            yield error("payload.field", f"{where}.mask", "a float has no mask")
        if item.signed and not item.mask:
            yield error("payload.field", f"{where}.signed", "only a masked field needs it: take an int type")
        pattern = ((1 << field.bits) - 1) << field.shift
        bits = pattern.to_bytes(field.type.size, item.byte_order)
        if any(taken[field.at + n] & bit for n, bit in enumerate(bits)) and key not in ("status", "alarms"):
            yield error("payload.field", where, "its bits belong to the header or to another field already")
        elif key not in ("status", "alarms"):
            for n, bit in enumerate(bits):
                taken[field.at + n] |= bit


def _setpoint_problems(file: PayloadProfileFile, frame: FrameItem) -> Iterator[Problem]:
    for key in frame.fields:
        if key not in ("sequence", "validity") and _SETPOINTS.match(key) is None:
            text = f"'{key}' cannot be commanded: sequence, validity, active_power.port1, reactive_power.port1, …"
            yield error("payload.setpoint", f"setpoint.fields.{key}", text)
    for key, why in (("sequence", "the device's echo is the only proof"), ("validity", "without it the device never falls back")):
        if key not in frame.fields:
            yield error("payload.setpoint", "setpoint.fields", f"the field '{key}' is missing: {why}")
    if not any("sequence_ack" in uplink.fields for uplink in file.uplinks):
        yield error("payload.setpoint", "uplinks", "no uplink has 'sequence_ack': nobody would know whether a setpoint was taken")
    ports = _ports(frame)
    if not ports or sorted(ports) != list(range(1, len(ports) + 1)):
        yield error("payload.setpoint", "setpoint.fields", "a setpoint has active_power.port1, port2, … without a gap")
    if not DeviceClass(file.class_).injects:
        yield error("payload.setpoint", "class", f"a {file.class_.value} takes no setpoints")


def _question_problems(file: PayloadProfileFile) -> Iterator[Problem]:
    """The question must be told from a setpoint, and have an answer."""
    if file.ask is None:
        return
    asked = bytes.fromhex(file.ask.hex)
    setpoint = None if file.setpoint is None else _frame(file.setpoint)
    if setpoint is None:
        yield error("payload.ask", "ask", "a device without 'setpoint' holds none")
    elif file.ask.f_port == setpoint.port and len(asked) == setpoint.length and asked.startswith(setpoint.header):
        yield error("payload.ask", "ask", "nothing tells it from a setpoint: another port, length or header must")
    ports = range(1, 1 + (0 if file.setpoint is None else len(_ports(file.setpoint))))
    wanted = {"sequence_ack", "watchdog_remaining", *(f"setpoint_active_power.port{n}" for n in ports)}
    if not any(wanted <= uplink.fields.keys() for uplink in file.uplinks):
        text = "no uplink answers it: one must have sequence_ack, watchdog_remaining, setpoint_active_power.port1, …"
        yield error("payload.ask", "ask", text)


def _ports(frame: FrameItem) -> set[int]:
    return {int(found[2]) for key in frame.fields if (found := _SETPOINTS.match(key)) is not None}


def _profile(file: PayloadProfileFile) -> PayloadProfile:
    return PayloadProfile(
        id=file.id,
        vendor=file.vendor,
        models=tuple(file.models),
        device_class=file.class_,
        provenance=provenance(file.provenance),
        uplinks=tuple(_frame(item) for item in file.uplinks),
        ports=0 if file.setpoint is None else len(_ports(file.setpoint)),
        setpoint=None if file.setpoint is None else _frame(file.setpoint),
        group=None if file.group is None else group_frames(file.group, _frame, payload_field),
        group_vectors=group_vectors(file),
        question=None if file.ask is None else Question(file.ask.name, file.ask.f_port, bytes.fromhex(file.ask.hex)),
        vectors=tuple(UplinkVector(t.name, t.f_port, bytes.fromhex(t.hex), tuple(t.expect.items())) for t in file.tests),
        command_vectors=tuple(DownlinkVector(t.name, tuple(t.values.items()), bytes.fromhex(t.hex)) for t in file.command_tests),
    )


def _frame(item: FrameItem) -> Frame:
    fields = tuple(payload_field(key, field) for key, field in item.fields.items())
    return Frame(item.name, item.f_port, item.length, fields, bytes.fromhex(item.header))


def payload_field(key: str, item: PayloadFieldItem) -> PayloadField:
    return PayloadField(
        key=key,
        at=item.at,
        type=item.type,
        mask=item.mask,
        signed=item.signed,
        little=item.byte_order == "little",
        scale=item.scale,
        offset=item.offset,
        from_nominal=item.relative_to is not None,
        sign=item.sign,
        sentinels=tuple(item.nan),
        minimum=item.min,
        maximum=item.max,
    )


#: device_profiles/lorawan
PAYLOAD_PROFILES = ProfileShelf(PayloadProfileFile, _file_problems, _profile, "profile of payloads", "lorawan")
find_payload_profile = PAYLOAD_PROFILES.find
known_payload_profiles = PAYLOAD_PROFILES.known
check_payload_profile = PAYLOAD_PROFILES.check
load_payload_profile = PAYLOAD_PROFILES.load


def site_payload_profiles(site: Site) -> dict[str, PayloadProfile]:
    """Every profile of payloads that a site names, by id.

    Raises:
        UserError: one is nowhere to be found.
        ConfigError: one is wrong.
    """
    return PAYLOAD_PROFILES.of_site(site, lambda link: link.type is LinkType.LORAWAN)
