"""Time on air against figures worked out by hand from the modem designer's guide, and the limits of the regions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimctl.model.airtime import RULES, Region

EU, US = RULES[Region.EU868], RULES[Region.US915]


def test_the_shortest_full_report_by_hand():
    # SF7, 125 kHz: 1.024 ms a symbol; 12.25 of preamble, 8 + 15 · 5 of 50 bytes (416 bits in blocks of 28): 95.25 symbols
    assert EU.uplinks[5].airtime_s(37, uplink=True) == pytest.approx(95.25 * 1.024e-3)


def test_the_longest_setpoint_by_hand():
    # SF12, 125 kHz: 32.768 ms, optimised for low rates; 12.25 of preamble, 8 + 6 · 5 of 29 bytes (212 bits in blocks of 40): 50.25
    assert EU.downlinks[0].airtime_s(16, uplink=False) == pytest.approx(50.25 * 32.768e-3)


@pytest.mark.parametrize(("rate", "milliseconds"), list(enumerate([2302, 1315, 616, 329, 175, 98])))
def test_full_reports_in_europe(rate, milliseconds):
    assert 1000 * EU.uplinks[rate].airtime_s(37, uplink=True) == pytest.approx(milliseconds, abs=0.5)


@pytest.mark.parametrize(("rate", "milliseconds"), [(8, 371), (10, 103)])
def test_setpoints_in_america(rate, milliseconds):
    assert 1000 * US.downlinks[rate].airtime_s(16, uplink=False) == pytest.approx(milliseconds, abs=0.5)


def test_a_short_report_keeps_the_dwell_time_where_a_full_one_does_not_fit():
    assert US.uplinks[0].most_bytes == 11
    assert US.dwell_s is not None
    assert US.uplinks[0].airtime_s(11, uplink=True) < US.dwell_s


@given(st.sampled_from([*EU.uplinks.values(), *US.uplinks.values(), *US.downlinks.values()]), st.integers(1, 241), st.booleans())
def test_more_bytes_are_never_sooner_over(rate, count, uplink):
    assert rate.airtime_s(count + 1, uplink=uplink) >= rate.airtime_s(count, uplink=uplink) > 12.25 * rate.symbol_s()
