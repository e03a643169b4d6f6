"""The electrical tree: feeds, nodes, and what stands between a node and its parent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.harmonics import HarmonicLimits
from mimctl.model.phases import PHASES, Phase


class SourceKind(StrEnum):
    """What stands behind a feed head; decides whether power may flow back into it."""

    UTILITY = "utility"
    UPS = "ups"
    GENERATOR = "generator"


@dataclass(frozen=True, slots=True)
class Feed:
    """A redundant supply, A or B.

    Args:
        node: its head, a node without a parent.
        reverse_power_limit_w: how much may flow back out of each phase of the head [W per phase]; 0 = none. The net
            import of every phase stays ≥ −reverse_power_limit_w.
        short_circuit_va: three-phase short-circuit power of the source behind the head [VA].
        rx_ratio: R/X of that source.
    """

    id: str
    node: str
    source: SourceKind = SourceKind.UPS
    reverse_power_limit_w: float = 0.0
    short_circuit_va: float = 10e6
    rx_ratio: float = 0.1


class Winding(StrEnum):
    """Transformer groups between a node and its parent. The second letter is the node's own side."""

    DYN = "Dyn"
    YNYN = "YNyn"


@dataclass(frozen=True, slots=True)
class Transformer:
    """Between the parent (primary) and this node (secondary).

    Args:
        rated_va: three-phase rating [VA].
        short_circuit_voltage_pct: uk [%].
        copper_loss_w: short-circuit (load) losses at rating [W].
        no_load_loss_w: iron losses [W].
        clock: vector group number, for example 11 in Dyn11. The nominal angles of each node are its own; the clock only
            matters to the power flow.
    """

    winding: Winding
    rated_va: float
    short_circuit_voltage_pct: float = 4.0
    copper_loss_w: float = 0.0
    no_load_loss_w: float = 0.0
    clock: int = 11


@dataclass(frozen=True, slots=True)
class Cable:
    """Series impedance from the parent, per phase conductor, and of the neutral [Ω]."""

    r_ohm: float
    x_ohm: float
    r_neutral_ohm: float | None = None
    x_neutral_ohm: float | None = None


class NodeKind(StrEnum):
    FEED = "feed"
    TRANSFORMER = "transformer"
    UPS = "ups"
    PDU = "pdu"
    BRANCH = "branch"
    RACK = "rack"


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the electrical tree, protected by the breaker on its supply side.

    Args:
        parent: node that supplies it; None for a feed head.
        rating_a: breaker rating per phase [A].
        neutral_rating_a: what the neutral may carry for ever [A]; None where there is no neutral.
        continuous_factor: share of the breaker rating that may be used for hours, 0.8 by common codes.
        phases: line conductors present.
        voltage_ln_v: nominal line-to-neutral voltage [V]; in a three-wire part the line-to-line voltage / √3.
        omega: this node's fixed weight in the reported objective; all of a site's weights sum to one.
        own_load: whether something but its children and MIMs may draw power there; None = by its kind.
        harmonic_limits: None = distortion is not limited here.
    """

    id: str
    kind: NodeKind
    parent: str | None
    rating_a: float
    voltage_ln_v: float
    omega: float = 0.0
    neutral_rating_a: float | None = None
    continuous_factor: float = 0.8
    phases: tuple[Phase, ...] = PHASES
    cable: Cable | None = None
    transformer: Transformer | None = None
    harmonic_limits: HarmonicLimits | None = None
    own_load: bool | None = None

    @property
    def limit_a(self) -> float:
        """What each phase may carry for hours [A]."""
        return self.rating_a * self.continuous_factor
