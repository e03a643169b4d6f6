"""The one family of errors. Each carries fields, so that a caller can act and a message can name the mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mimctl.model.problem import Problem


class MimctlError(Exception):
    """Base of everything that mimctl raises on purpose."""


class ConfigError(MimctlError):
    """A site file or profile is wrong; every problem found is in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in problems))


class LinkError(MimctlError):
    """A device could not be asked or did not answer properly.

    Args:
        device: device or link the trouble is on.
        what: one line for a person.
    """

    def __init__(self, device: str, what: str) -> None:
        self.device = device
        self.what = what
        super().__init__(f"{device}: {what}")


class LinkDown(LinkError):
    """No connection: refused, closed, unreachable."""


class LinkTimeout(LinkError):
    """No answer inside the deadline."""


class BadReply(LinkError):
    """An answer that is not the answer to what was asked: length, function code, unit, header."""


class DeviceRefusal(LinkError):
    """A Modbus exception.

    Args:
        code: the exception code of the Modbus application protocol (2 = illegal data address, 6 = busy, 11 = gateway
            target failed to respond, …).
    """

    def __init__(self, device: str, what: str, code: int) -> None:
        self.code = code
        super().__init__(device, what)

    @property
    def is_silence(self) -> bool:
        """It is the gateway that answers, for a device behind it that does not (10 = no path to it, 11 = no answer)."""
        return self.code in (10, 11)


class PowerFlowFailed(MimctlError):
    """The network equations have no solution at these loads, or the site is no network at all."""


class Unencodable(LinkError):
    """A value that the device's register cannot hold or its map does not allow. Found before anything was sent."""


class WriteHeld(LinkError):
    """A command that the device's write policy does not allow now: too soon after the last one, or the day's budget is spent.

    None of it was sent; what was in force stays in force.

    Args:
        passing: the policy lets the command through soon, nothing is amiss.
        kept_alive: the device was given a sign of life instead.
    """

    def __init__(self, device: str, what: str, *, passing: bool = False, kept_alive: bool = False) -> None:
        self.passing = passing
        self.kept_alive = kept_alive
        super().__init__(device, what)


class TaskDied(MimctlError):
    """Something that should go on for as long as the process does has ended by itself. Exit code 1.

    Args:
        task: its name.
        how: what it ended with.
    """

    def __init__(self, task: str, how: str) -> None:
        self.task = task
        self.how = how
        super().__init__(f"{task} {how}: everything was stopped in order; the log says more")


class Unreachable(MimctlError):
    """Something that the command needs is not there: a running service, a socket, a file server. Exit code 3."""


class UserError(MimctlError):
    """The thing asked for is wrong; the message is one line that says how to mend it. Exit code 1."""


class MissingExtra(UserError):
    """An optional part is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        self.extra = extra
        super().__init__(f"{needed_for} needs the extra '{extra}': pip install 'mimctl[{extra}]'")
