"""Leases: who stands above whom, what each may say, and the same lease again after JSON."""

from datetime import timedelta

import pytest
from tests.builders import START

from mimctl.model.errors import UserError
from mimctl.model.lease import Cap, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop
from mimctl.model.lease_plain import lease_of, lease_plain, source_of

S = LeaseSource
HOUR = timedelta(hours=1)


def lease(action, source=S.OPERATOR, length=HOUR):
    until = None if length is None else START + length
    return Lease("a1", source, "ann", "x", action, "why", START, until)


def test_the_order_of_the_sources():
    assert sorted(S, reverse=True) == [S.EMERGENCY_STOP, S.MAINTENANCE, S.OPERATOR, S.BMS, S.TENANT, S.OPTIMISER]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: lease(Stop()), "emergency_stop is said by emergency_stop, not by operator"),
        (lambda: lease(LockOut(), S.BMS), "lock_out is said by maintenance, not by bms"),
        (lambda: lease(Pause(), S.MAINTENANCE), "maintenance says lock_out only"),
        (lambda: lease(Pause(), length=None), "a pause needs an end"),
        (lambda: lease(Cap(max_a=1), length=None), "a cap needs an end"),
        (lambda: lease(Pause(), length=timedelta(0)), "ends after it begins"),
        (Cap, "max_va, max_a or max_export_w"),
        (lambda: Cap(max_va=-1.0), "not negative"),
        (lambda: Cap(max_a=float("nan")), "finite"),
        (lambda: Setpoint((complex("nan"), None)), "port 1: a setpoint is a finite number"),
        (lambda: Setpoint((None, None)), "at least one port"),
    ],
)
def test_what_makes_no_sense_is_refused(made, says):
    with pytest.raises(UserError, match=says):
        made()


@pytest.mark.parametrize(
    "one",
    [
        lease(Stop(), S.EMERGENCY_STOP, None),
        lease(LockOut(), S.MAINTENANCE, None),
        lease(LockOut(), S.MAINTENANCE),
        lease(Pause(), S.TENANT),
        lease(Cap(max_va=5.0, max_export_w=-20.0), S.BMS),
        lease(Setpoint((None, 3 - 4j, 0j)), S.OPTIMISER),
    ],
)
def test_json_and_back(one):
    assert lease_of(lease_plain(one)) == one


@pytest.mark.parametrize(
    "bend",
    [
        {"kind": "dance"},
        {"source": "nobody"},
        {"source": 3},
        {"granted_utc": "2026-01-05T00:00:00"},
        {"granted_utc": None},
        {"owner": 7},
        {"max_a": "12"},
        {"max_a": float("inf")},
        {"max_a": True},
    ],
)
def test_what_json_may_hold_and_a_lease_not(bend):
    with pytest.raises(ValueError, match=r"^no |^not a"):
        lease_of(lease_plain(lease(Cap(max_a=5.0))) | bend)


def test_a_key_that_is_missing():
    plain = lease_plain(lease(Pause()))
    for key in plain:
        with pytest.raises(ValueError, match=r"^no "):
            lease_of({k: v for k, v in plain.items() if k != key})
    with pytest.raises(ValueError, match="operator"):
        source_of("operatr")
