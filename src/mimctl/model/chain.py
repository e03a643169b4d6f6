"""What a profile says about a device that tells its own register map: a chain of SunSpec models.

The chain says where everything stands. These rules say what the chain cannot: which of its models are meant, which way round its
signs are, what is not to be believed, and what of it may be commanded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mimctl.model.setpoints import WritePolicy

#: models that take setpoints; what else may be commanded are heartbeats
SETPOINT_MODELS = (704, 124, 123)


@dataclass(frozen=True, slots=True)
class ChainPoint:
    """A point of a model under a key of its own, beside or in place of what is read by default.

    Args:
        path: in the definition of the model, `DCW` or `module[2].DCW`.
        sign: −1 turns the device's direction into mimctl's.
        sentinels: raw values that mean “no value”, beside those of the definition.
        requires: models that the chain must have, or the point means something else.
    """

    key: str
    model: int
    path: str
    sign: int = 1
    sentinels: tuple[float, ...] = ()
    requires: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainDifference:
    """A value that is made of two others: `plus` − `minus`, both keys; absent where one of them is."""

    key: str
    plus: str
    minus: str


@dataclass(frozen=True, slots=True)
class ControlModel:
    """A model that may be commanded. `single`: its registers are written one by one, with function 6."""

    model: int
    single: bool = False


@dataclass(frozen=True, slots=True)
class ChainRules:
    """The rules for one device of a chain; as they stand here, those of a device that nobody knows more about.

    Args:
        bases: first registers to look for the chain at; none = the usual ones.
        models: measuring models that are read, the best first; none = all, the first in the chain first.
        ignored: models that are left alone though they are there.
        common: (name, patterns) of what the common model must say, any of the patterns; case counts for nothing.
        turned: quantities that the device counts the other way round than SunSpec does.
        left_out: quantities, or keys, that are not to be believed.
        silent_zeros: quantities whose 0 means “no value”.
        controls: models that may be commanded; None = every one that mimctl knows.
    """

    bases: tuple[int, ...] = ()
    models: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    common: tuple[tuple[str, tuple[str, ...]], ...] = ()
    turned: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    silent_zeros: tuple[str, ...] = ()
    points: tuple[ChainPoint, ...] = ()
    differences: tuple[ChainDifference, ...] = ()
    controls: tuple[ControlModel, ...] | None = None
    policy: WritePolicy = field(default_factory=WritePolicy)

    def allows(self, model: int) -> bool:
        """Whether a model may be commanded."""
        return self.controls is None or any(c.model == model for c in self.controls)

    def singly(self, model: int) -> bool:
        """Whether a model takes one register at a time."""
        return any(c.single for c in self.controls or () if c.model == model)


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether a text is like any of some patterns with * and ?; case counts for nothing."""
    return any(fnmatchcase(text.lower(), pattern.lower()) for pattern in patterns)
