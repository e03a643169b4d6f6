"""Which breakers and neutrals are in the solve. Most of a site's are far from their limits and would only cost time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.values import Values
from mimctl.model.layout import BoolArray, ComplexArray

#: when the set has to grow, everything past this share of its limit comes in with it, so that it rarely has to
_ALONG = 0.9
#: after so many solves what was not near in the meantime leaves the set
_AGE = 512


@dataclass(frozen=True, slots=True)
class LimitSet:
    """Members as bytes of the masks (N, 3) and (N,): hashable, a key of built structures."""

    phases: bytes
    neutrals: bytes

    def phase_mask(self) -> BoolArray:
        return np.frombuffer(self.phases, dtype=np.bool_).reshape(-1, 3)

    def neutral_mask(self) -> BoolArray:
        return np.frombuffer(self.neutrals, dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What is past a share of its limit: phases (N, 3), neutrals (N,), any head's least import."""

    phases: BoolArray
    neutrals: BoolArray
    heads: bool

    def any(self) -> bool:
        return self.heads or bool(self.phases.any()) or bool(self.neutrals.any())


def reached(frame: Frame, values: Values, flow: ComplexArray, share: float) -> Reached:
    """Controllable limits of which `flow` uses more than `share`."""
    phases = (np.abs(flow) > share * values.limit_va) & frame.limited
    if values.neutrals_matter:
        neutral_va = np.abs(flow @ frame.neutral_turn)
        neutrals = (neutral_va > share * values.neutral_limit_va) & frame.reached_mask
    else:
        neutrals = frame.no_node
    slip = (share - 1) * frame.head_base_va[:, None]
    heads = bool((flow[frame.layout.guarded].real < values.head_min_w[:, None] - slip).any())
    return Reached(phases, neutrals, heads)


class LimitBook:
    """The limits that are in the solve now. Grows at once, forgets slowly."""

    def __init__(self, frame: Frame) -> None:
        nodes = len(frame.layout.nodes)
        self._frame = frame
        self._phases = np.zeros((nodes, 3), dtype=np.bool_)
        self._neutrals = np.zeros(nodes, dtype=np.bool_)
        self._recent: tuple[BoolArray, BoolArray] = (self._phases, self._neutrals)
        self._uses = 0

    def holds(self, found: Reached) -> bool:
        """Whether every limit found is a member."""
        return not (found.phases & ~self._phases).any() and not (found.neutrals & ~self._neutrals).any()

    def members(self, values: Values, flow: ComplexArray, found: Reached) -> LimitSet:
        """The set to solve with, after `found` at `flow` has to be in it."""
        along = reached(self._frame, values, flow, _ALONG)
        if not self.holds(found):
            self._phases = self._phases | along.phases | found.phases
            self._neutrals = self._neutrals | along.neutrals | found.neutrals
        self._recent = (self._recent[0] | along.phases, self._recent[1] | along.neutrals)
        self._uses += 1
        if self._uses % _AGE == 0:
            self._phases, self._neutrals = self._recent[0] | found.phases, self._recent[1] | found.neutrals
            self._recent = (along.phases, along.neutrals)
        return LimitSet(self._phases.tobytes(), self._neutrals.tobytes())

    def everything(self, values: Values) -> LimitSet:
        """The set of all limits that ports can change."""
        self._phases = self._frame.limited
        self._neutrals = self._frame.reached_mask & np.isfinite(values.neutral_limit_va)
        return LimitSet(self._phases.tobytes(), self._neutrals.tobytes())

    def missing(self, found: Reached, members: LimitSet | None) -> bool:
        """Whether a limit that was left out of a solve turned out to be passed."""
        if members is None:
            return found.any()
        return bool((found.phases & ~members.phase_mask()).any() or (found.neutrals & ~members.neutral_mask()).any())
