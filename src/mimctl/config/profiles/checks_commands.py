"""What can be wrong with the golden vectors of commands, before they are run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mimctl.config.profiles.layout import address_problems
from mimctl.config.profiles.schema import ProfileFile
from mimctl.config.profiles.schema_commands import CommandStepItem, ImageItem, WriteItem
from mimctl.config.validate import did_you_mean
from mimctl.model.chain import SETPOINT_MODELS
from mimctl.model.command_vectors import StepKind
from mimctl.model.problem import Problem, error, warning

_CODE = "profile.command_test"
_KEY = re.compile(r"(active_power|reactive_power)\.port[1-9]\Z")


def command_vector_problems(file: ProfileFile) -> Iterator[Problem]:
    """Every problem of `command_tests`, and whether there should be some."""
    where = "setpoints" if file.setpoints else "sunspec.commands" if _by_chain(file) else None
    if where is not None and not file.command_tests:
        text = "nothing proves the frames of these setpoints: work some out by hand and give them as 'command_tests'"
        yield warning(_CODE, where, text)
    if file.command_tests and not file.setpoints and file.sunspec is None:
        yield error(_CODE, "command_tests", "the file has no setpoints: there is nothing to command")
        return
    tests = [test.name for test in file.tests]
    for index, vector in enumerate(file.command_tests):
        path = f"command_tests[{index}]"
        if vector.like is not None and vector.like not in tests:
            yield error(_CODE, f"{path}.like", f"there is no test '{vector.like}'{did_you_mean(vector.like, tests)}")
        yield from _stretches(file, f"{path}.image", vector.image)
        commanded = False
        for number, step in enumerate(vector.steps):
            yield from _step(file, f"{path}.steps[{number}]", step, commanded=commanded)
            if not step.refused:
                commanded = commanded if step.do is StepKind.KEEP_ALIVE else step.do is StepKind.COMMAND


def _by_chain(file: ProfileFile) -> bool:
    """Whether the device is commanded by models of its own chain."""
    return file.sunspec is not None and any(command.model in SETPOINT_MODELS for command in file.sunspec.commands)


def _step(file: ProfileFile, path: str, step: CommandStepItem, *, commanded: bool) -> Iterator[Problem]:
    if step.do is not StepKind.COMMAND:
        for key in ("setpoints", "refused"):
            if getattr(step, key):
                yield error(_CODE, f"{path}.{key}", f"{step.do} has no {key}; only a command has")
    elif not step.setpoints:
        yield error(_CODE, path, "the key 'setpoints' is missing: a command says at least one")
    if step.do is StepKind.KEEP_ALIVE and not commanded:
        yield error(_CODE, f"{path}.do", "nothing is in force that could be kept alive: a command comes first")
    if step.refused and step.writes:
        yield error(_CODE, f"{path}.writes", "what is refused is not written")
    known = list(file.setpoints)
    for key in step.setpoints:
        if (known and key not in known) or _KEY.match(key) is None:
            yield error(_CODE, f"{path}.setpoints.{key}", f"there is no setpoint '{key}'{did_you_mean(key, known)}")
    yield from _stretches(file, f"{path}.writes", step.writes)
    for number, write in enumerate(step.writes):
        if write.function == 6 and len(_digits(write.hex)) != 4:
            yield error(_CODE, f"{path}.writes[{number}].hex", "function 6 writes one register: four digits")


def _stretches(file: ProfileFile, path: str, items: Iterable[ImageItem | WriteItem]) -> Iterator[Problem]:
    for index, item in enumerate(items):
        digits = _digits(item.hex)
        if len(digits) % 4:
            text = f"{len(digits)} digits are no whole registers (four digits each)"
            yield error(_CODE, f"{path}[{index}].hex", text)
        yield from address_problems(file, f"{path}[{index}].address", item.address, max(1, len(digits) // 4), None)


def _digits(text: str) -> str:
    return "".join(text.split())
