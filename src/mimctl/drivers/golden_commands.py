"""Run a profile's golden vectors of commands through the encoder that the driver uses; no link in here.

What is compared is the whole of a command: which frames, in which order, by which function, every register of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mimctl.drivers.mim_commands import CommandRegisters, Frame, Wanted
from mimctl.drivers.mim_state import CommandState
from mimctl.model.command_vectors import CommandStep, CommandVector, ExpectedWrite, StepKind
from mimctl.model.errors import LinkError, Unencodable
from mimctl.model.problem import Problem, error
from mimctl.model.profile import DeviceProfile
from mimctl.model.setpoints import MimMap
from mimctl.wire.golden import check_vectors, image_registers
from mimctl.wire.golden_chain import chain_map

_CODE = "profile.command_test"


def check_all_vectors(profile: DeviceProfile) -> list[Problem]:
    """Everything that a profile claims and does not keep: values that it does not give, frames that it does not write."""
    return [*check_vectors(profile), *check_command_vectors(profile)]


def check_command_vectors(profile: DeviceProfile) -> list[Problem]:
    """One problem for each vector whose frames are others than it says; paths are those of the profile file."""
    found: list[Problem] = []
    for index, vector in enumerate(profile.command_vectors):
        path = f"command_tests[{index}]"
        try:
            mim_map = _commanded(profile, vector)
        except LinkError as wrong:
            found.append(error(_CODE, f"{path}.image", f"{vector.name}: {wrong.what}"))
            continue
        if mim_map is None:
            found.append(error(_CODE, path, f"{vector.name}: the device takes no setpoints"))
            continue
        found += _run(profile.id, mim_map, vector, path)
    return found


def _commanded(profile: DeviceProfile, vector: CommandVector) -> MimMap | None:
    """How the device with these registers is commanded.

    Raises:
        LinkError: a device that tells its own register map tells none here.
    """
    if profile.chain is None:
        return profile.register_map.mim
    return chain_map(profile, vector.name, vector.image).mim


def _run(device: str, mim_map: MimMap, vector: CommandVector, path: str) -> Iterator[Problem]:
    """The steps, up to the first that is wrong: those behind it would begin where it should not have led."""
    registers = CommandRegisters(device, mim_map)
    state = CommandState(mim_map, tuple(image_registers(vector.image, block) for block in mim_map.state))
    last: Wanted | None = None
    for number, step in enumerate(vector.steps):
        wanted = last if step.kind is StepKind.KEEP_ALIVE else _wanted(step, mim_map.ports)
        where = f"{path}.steps[{number}]"
        try:
            frames = [] if wanted is None else _frames(registers, state, wanted, step)
        except Unencodable as refusal:
            if not step.refused:
                yield error(_CODE, where, f"{vector.name}: refused, since {refusal.what}")
                return
            continue
        if step.refused:
            yield error(_CODE, f"{where}.refused", f"{vector.name}: is not refused; it would write {_shown(frames)}")
            return
        problem = _compared(frames, step.writes, vector.name, where)
        if problem is not None:
            yield problem
            return
        for frame in frames:
            state = frame.after(state)
        last = wanted


def _wanted(step: CommandStep, ports: int) -> Wanted:
    on = step.kind is StepKind.COMMAND
    return Wanted(
        step.powers("active_power", ports), step.powers("reactive_power", ports), step.validity_s, step.expiry, enabled=on
    )


def _frames(registers: CommandRegisters, state: CommandState, wanted: Wanted, step: CommandStep) -> Sequence[Frame]:
    return registers.keepalive(state, wanted) if step.kind is StepKind.KEEP_ALIVE else registers.frames(state, wanted)


def _compared(frames: Sequence[Frame], expected: Sequence[ExpectedWrite], name: str, path: str) -> Problem | None:
    """The first frame that is another one."""
    got = [ExpectedWrite(f.address, f.data, f.function) for f in frames]
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=False)):
        if ours != theirs:
            return error(_CODE, f"{path}.writes[{number}]", f"{name}: writes {ours}; expected {theirs}")
    if len(got) > len(expected):
        return error(_CODE, f"{path}.writes", f"{name}: also writes {_shown(frames[len(expected) :])}")
    if len(got) < len(expected):
        return error(_CODE, f"{path}.writes[{len(got)}]", f"{name}: does not write {expected[len(got)]}")
    return None


def _shown(frames: Sequence[Frame]) -> str:
    return "; ".join(str(ExpectedWrite(f.address, f.data, f.function)) for f in frames) or "nothing"
