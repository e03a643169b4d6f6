"""A running service tells of certificates that expire, and that they were renewed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.site_factory import site_dict, write_site

from mimctl.config.site import load_site
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.link import LinkType
from mimctl.service.certificates import certificates_in_trouble, note_certificates
from mimctl.wire.tls import make_throwaway_pki

MADE = datetime(2026, 3, 1, tzinfo=UTC)


def test_an_event_for_each_link_until_the_files_are_renewed(tmp_path):
    pki = make_throwaway_pki(tmp_path / "pki", now=MADE, valid=timedelta(days=90))
    site = load_site(write_site(tmp_path, site_dict(racks=2)))
    secured, *plain = site.links
    site = replace(site, links=(replace(secured, type=LinkType.MODBUS_TLS, tls=pki.client), *plain))
    events = EventLog(VirtualClock(MADE))
    note_certificates(certificates_in_trouble(site, MADE + timedelta(days=59)), events)
    assert events.open() == ()

    note_certificates(certificates_in_trouble(site, MADE + timedelta(days=80)), events)
    [event] = events.open()
    assert (event.code, event.where, event.severity.value) == ("link.certificate", secured.id, "warning")
    assert "ca.pem: expires in 9 days" in event.text
    assert "client.pem: expires in 9 days" in event.text

    make_throwaway_pki(tmp_path / "pki", now=MADE + timedelta(days=79), valid=timedelta(days=90))
    note_certificates(certificates_in_trouble(site, MADE + timedelta(days=81)), events)
    assert events.open() == ()
    assert [event.code for event in events.recent()] == ["link.certificate"]
