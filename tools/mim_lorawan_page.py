"""The page on what a MIM on LoRaWAN sends and takes, out of the profile by which mimctl drives it."""

from __future__ import annotations

from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES
from mimctl.model.payload import Frame
from mimctl.model.quantity import quantity_of
from mimctl.model.resources import data_root

_LORAWAN_RULES = """What a MIM sends and takes, for whoever makes its firmware; the profile `mimctl/mim` says the same to mimctl.

- Class C. It reports at its interval, and once more after each setpoint: that is the echo. A report carries the number of the
  setpoint in force (`sequence_ack`), 0 after a restart.
- A setpoint is applied whole, when its number differs from the one in force and is not up to 16 behind it: such a one came late.
  Numbers go from 1 to 255 and begin again. It stands for `validity` seconds from when it came; then the MIM goes to zero by its
  ramp and reports `command_status` 3.
- `validity` 0 is a release: zero and disabled, whatever the number, unless it is the one in force already.
- Of a frame for several it takes the part with its own member number, and passes over one that has none for it. A release of all
  is a release.
- The question changes nothing; the answer comes at once.
- Injection is positive, and vars that are supplied."""


def lorawan_mim_page(note: str) -> str:
    """What the firmware of a MIM on LoRaWAN sends and takes, byte by byte, out of the profile by which it is driven."""
    profile = PAYLOAD_PROFILES.load(data_root() / "device_profiles" / "lorawan" / "mimctl" / "mim.yaml")
    group, question = profile.group, profile.question
    if profile.setpoint is None or group is None or question is None:
        raise LookupError(f"{profile.id} lacks a frame")
    parts = ["# A MIM on LoRaWAN\n", note, f"{_LORAWAN_RULES}\n", "Numbers have their most significant byte first.\n"]
    parts += [_layout(f"Report, {frame.name}", frame) for frame in profile.uplinks]
    parts += [_layout("Setpoint", profile.setpoint)]
    parts += [
        f"## Question: {question.name}\n",
        f"Port {question.port}, the bytes `{question.payload.hex(' ')}`. The answer is the report *held*.\n",
    ]
    parts += [
        _layout("Setpoints of several", group.head),
        f"One after another, {group.part.length} bytes each:\n",
        _bytes(group.part),
    ]
    parts += [_layout("Release of all", group.release), "## Worked examples\n"]
    rows = ["| frame | port | bytes |", "|---|---|---|"]
    rows += [f"| {v.name} | {v.port} | `{v.payload.hex(' ')}` |" for v in profile.vectors]
    rows += [f"| {v.name} | {profile.setpoint.port} | `{v.payload.hex(' ')}` |" for v in profile.command_vectors]
    rows += [f"| {v.name} | {group.head.port} | `{v.payload.hex(' ')}` |" for v in profile.group_vectors]
    return "\n".join([*parts, "\n".join(rows) + "\n"])


def _layout(title: str, frame: Frame) -> str:
    head = f" It begins with `{frame.header.hex(' ')}`." if frame.header else ""
    return f"## {title}\n\nPort {frame.port}, {frame.length} bytes.{head}\n\n{_bytes(frame)}"


def _bytes(frame: Frame) -> str:
    rows = ["| byte | field | type | step | no value |", "|---|---|---|---|---|"]
    for field in frame.fields:
        bits = "" if not field.mask else f", bits `{field.mask:#x}`" + (" (two's complement)" if field.signed else "")
        unit = "" if (quantity := quantity_of(field.key)) is None or not quantity.unit else f" {quantity.unit}"
        unit = " s" if field.key == "validity" else unit
        base = ", from the nominal frequency" if field.from_nominal else ""
        absent = ", ".join(f"{raw}" for raw in field.sentinels)
        rows.append(f"| {field.at} | `{field.key}` | {field.type.value}{bits} | {field.scale:g}{unit}{base} | {absent} |")
    return "\n".join(rows) + "\n"
