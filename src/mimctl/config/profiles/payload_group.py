"""Frames for several devices in a profile of payloads: what is wrong with them, and what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.profiles.payload_schema import FrameItem, GroupItem, PayloadFieldItem, PayloadProfileFile
from mimctl.model.payload import Frame, GroupFrames, GroupVector, PayloadField
from mimctl.model.problem import Problem, error, warning

_CODE = "payload.group"


def group_problems(
    file: PayloadProfileFile, frame_problems: Callable[[str, FrameItem], Iterator[Problem]], powers: set[str]
) -> Iterator[Problem]:
    """Everything that is wrong with `group` and its tests.

    Args:
        frame_problems: what is wrong with one frame by itself.
        powers: the fields of the setpoint of one device that are its powers.
    """
    item = file.group
    if item is None:
        if file.group_tests:
            yield error(_CODE, "group_tests", "there is no 'group' to test")
        return
    yield from frame_problems("group", _head(item))
    yield from frame_problems("group.each", _part(item))
    yield from frame_problems("group.release", item.release)
    if file.setpoint is None:
        yield error(_CODE, "group", "a device without 'setpoint' is not commanded: one that missed the frame is told by itself")
        return
    parts = (
        ("group.fields", set(item.fields), {"validity"}),
        ("group.each.fields", set(item.each.fields), {"member", "sequence", *powers}),
        ("group.release.fields", set(item.release.fields), {"sequence"}),
    )
    for path, found, wanted in parts:
        if found != wanted:
            yield error(_CODE, path, f"it has the fields {', '.join(sorted(wanted))}, and no others")
    yield from _alike(item, file.setpoint)
    if not file.group_tests:
        text = "nothing proves these frames: work some out by hand and give them as 'group_tests'"
        yield warning("profile.command_test", "group", text)


def _alike(item: GroupItem, setpoint: FrameItem) -> Iterator[Problem]:
    """A device must know what a frame is by its port and its first bytes: these have no length of their own."""
    heads = (("setpoint", setpoint.f_port, setpoint.header), ("group.release", item.release.f_port, item.release.header))
    own = bytes.fromhex(item.header)
    for name, port, header in heads:
        other = bytes.fromhex(header)
        if port == item.f_port and (own.startswith(other) or other.startswith(own)):
            yield error(_CODE, "group", f"nothing tells it from '{name}': another port or header must")


def _head(item: GroupItem) -> FrameItem:
    return FrameItem(name=item.name, f_port=item.f_port, length=item.length, header=item.header, fields=item.fields)


def _part(item: GroupItem) -> FrameItem:
    return FrameItem(name=item.name, f_port=item.f_port, length=item.each.length, fields=item.each.fields)


def group_frames(
    item: GroupItem, frame: Callable[[FrameItem], Frame], field: Callable[[str, PayloadFieldItem], PayloadField]
) -> GroupFrames:
    """The model of a group without errors."""
    part = tuple(field(key, each) for key, each in item.each.fields.items())
    return GroupFrames(frame(_head(item)), Frame(item.name, item.f_port, item.each.length, part), frame(item.release))


def group_vectors(file: PayloadProfileFile) -> tuple[GroupVector, ...]:
    return tuple(
        GroupVector(
            test.name, tuple(test.values.items()), tuple(tuple(part.items()) for part in test.each), bytes.fromhex(test.hex)
        )
        for test in file.group_tests
    )
