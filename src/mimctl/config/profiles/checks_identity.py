"""What can be wrong with the signs by which a profile knows its device and its variants."""

from __future__ import annotations

from collections.abc import Iterator

from mimctl.config.profiles.layout import address_problems, complete, registers_of
from mimctl.config.profiles.schema import ConditionItem, ProfileFile
from mimctl.config.validate import did_you_mean
from mimctl.model.problem import Problem, error


def condition_problems(file: ProfileFile) -> Iterator[Problem]:
    """Every register that is asked for something is there, and is asked for something."""
    for index, rule in enumerate(file.identify):
        yield from _condition(file, rule, f"identify[{index}]")
    for index, variant in enumerate(file.variants):
        yield from _condition(file, variant.when, f"variants[{index}].when")


def _condition(file: ProfileFile, item: ConditionItem, path: str) -> Iterator[Problem]:
    if item.identity is not None:
        if item.address is not None or item.type is not None:
            yield error("profile.condition", f"{path}.identity", "a register is named by identity or by address, not by both")
        elif item.identity not in dict(file.identity):
            text = f"'identity' has no '{item.identity}'{did_you_mean(item.identity, file.identity)}"
            yield error("profile.condition", f"{path}.identity", text)
    else:
        yield from complete(item, path)
        if item.address is not None:
            yield from address_problems(file, f"{path}.address", item.address, registers_of(item), item.function)
        if item.type is not None and item.type.is_text and item.count is None:
            yield error("profile.point", path, "the key 'count' is missing: the registers of the text")
        if item.type is not None and not item.type.is_text:
            yield from _numbers(item, path)
    if not (item.equals or item.matches or item.at_least is not None or item.below is not None):
        yield error("profile.condition", path, "nothing is asked of the register: equals, matches, at_least or below")


def _numbers(item: ConditionItem, path: str) -> Iterator[Problem]:
    for key in ("at_least", "below"):
        if isinstance(getattr(item, key), str):
            yield error("profile.condition", f"{path}.{key}", f"{item.type} is compared with a number, not with a text")


def with_variant(file: ProfileFile, index: int) -> ProfileFile:
    """The file as it reads for a device of this variant."""
    variant = file.variants[index]
    points = {k: p for k, p in {**file.points, **variant.points}.items() if p is not None}
    changes: dict[str, object] = {"points": points, "variants": [], "identify": [], "tests": []}
    if variant.conventions is not None:
        changes["conventions"] = variant.conventions
    if variant.blocks is not None:
        changes["blocks"] = variant.blocks
    if variant.max_gap is not None:
        changes["max_gap"] = variant.max_gap
    if variant.max_registers is not None:
        changes["transport"] = file.transport.model_copy(update={"max_registers": variant.max_registers})
    return file.model_copy(update=changes)
