"""Site file: limits of distortion, and what MIMs can do about it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mimctl.config.units import CURRENT, DURATION, PERCENT, Record
from mimctl.model.harmonics import HIGHEST_ORDER


class HarmonicLimitsItem(Record):
    """How much distortion is permitted at a node. The standards' own limits hold where the site meets the public grid."""

    thd_v_pct: Annotated[float, Field(gt=0, le=100), PERCENT] | None = Field(
        None, description="Total distortion of the phase voltages. Default: 8 %, as EN 50160 and IEEE 519 have it up to 1 kV."
    )
    tdd_pct: Annotated[float, Field(gt=0, le=100), PERCENT] | None = Field(
        None,
        description="Total demand distortion of the phase currents. Default: from IEEE 519, where `isc_il` is given.",
    )
    isc_il: float | None = Field(
        None, gt=0, description="Short-circuit current over demand current at the node, for the table of IEEE 519."
    )
    demand_a: Annotated[float, Field(gt=0), CURRENT] | None = Field(
        None, description="Demand current that TDD refers to: the mean of the monthly maxima. Default: the limit for hours."
    )


class HarmonicFilterItem(Record):
    """What the firmware of a MIM can do about the harmonic current of its node."""

    orders: list[Annotated[int, Field(ge=2, le=HIGHEST_ORDER)]] = Field(
        default_factory=lambda: [3, 5, 7, 9, 11, 13], min_length=1, description="Harmonic orders that it can compensate."
    )
    timing_error_s: Annotated[float, Field(ge=0, le=0.01), DURATION] = Field(
        0.0, description="How late or early its current comes at worst, as its maker declares; orders it would spoil are left out."
    )
    response_s: Annotated[float, Field(ge=0, le=600), DURATION] = Field(1.0, description="Time to reach 95 % of a changed share.")
    reserve_pct: Annotated[float, Field(ge=0, le=90), PERCENT] = Field(
        50.0, description="Largest part of a port's current that may be kept from balancing while a harmonic limit is passed."
    )
