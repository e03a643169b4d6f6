"""Golden vectors of profiles with payloads: what the layouts give, compared with what was worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mimctl.model.errors import Unencodable
from mimctl.model.payload import GroupFrames, GroupVector, PayloadProfile
from mimctl.model.problem import Problem, error
from mimctl.wire.payload import encode_payload, read_payload
from mimctl.wire.payload_group import encode_group, encode_part


def payload_problems(profile: PayloadProfile, nominal_hz: float = 50.0) -> list[Problem]:
    """One problem for each value that the profile does not give and each payload that it does not make."""
    return [*_uplinks(profile, nominal_hz), *_downlinks(profile, nominal_hz), *_groups(profile)]


def _uplinks(profile: PayloadProfile, nominal_hz: float) -> Iterator[Problem]:
    for n, vector in enumerate(profile.vectors):
        reading = read_payload(profile.uplinks, vector.port, vector.payload, nominal_hz)
        if reading is None:
            yield error("profile.vector", f"tests[{n}]", f"'{vector.name}': no uplink fits its port, length and header")
            continue
        for key, wanted in vector.expect:
            found = reading.get(key)
            if (found is None) != (wanted is None) or not math.isclose(found or 0.0, wanted or 0.0, rel_tol=1e-9, abs_tol=1e-9):
                yield error(
                    "profile.vector", f"tests[{n}].expect.{key}", f"'{vector.name}': {wanted} is expected, it gives {found}"
                )


def _downlinks(profile: PayloadProfile, nominal_hz: float) -> Iterator[Problem]:
    for n, vector in enumerate(profile.command_vectors):
        if profile.setpoint is None:
            return
        missing = set(profile.setpoint.keys) - dict(vector.values).keys()
        if missing:
            yield error(
                "profile.vector", f"command_tests[{n}].values", f"'{vector.name}': no value for {', '.join(sorted(missing))}"
            )
            continue
        try:
            made = encode_payload(profile.id, profile.setpoint, dict(vector.values), nominal_hz)
        except Unencodable as refused:
            yield error("profile.vector", f"command_tests[{n}].values", f"'{vector.name}': {refused.what}")
            continue
        if made != vector.payload:
            text = f"'{vector.name}': {vector.payload.hex(' ')} is expected, it makes {made.hex(' ')}"
            yield error("profile.vector", f"command_tests[{n}].hex", text)


def _groups(profile: PayloadProfile) -> Iterator[Problem]:
    for n, vector in enumerate(profile.group_vectors):
        if profile.group is None:
            return
        try:
            made = _made(profile.id, profile.group, vector)
        except Unencodable as refused:
            yield error("profile.vector", f"group_tests[{n}]", f"'{vector.name}': {refused.what}")
        except KeyError as missing:
            yield error("profile.vector", f"group_tests[{n}]", f"'{vector.name}': no value for {missing.args[0]}")
        else:
            if made != vector.payload:
                text = f"'{vector.name}': {vector.payload.hex(' ')} is expected, it makes {made.hex(' ')}"
                yield error("profile.vector", f"group_tests[{n}].hex", text)


def _made(name: str, frames: GroupFrames, vector: GroupVector) -> bytes:
    if not vector.parts:
        return encode_payload(name, frames.release, dict(vector.values))
    parts = [encode_part(name, frames, dict(part)) for part in vector.parts]
    return encode_group(name, frames, dict(vector.values)["validity"], parts)
