"""Certificates of links that expire while the service runs are events, long before a link is down because of them."""

from __future__ import annotations

from datetime import datetime

from mimctl.config.certificates import certificate_troubles
from mimctl.control.events import EventLog
from mimctl.model.problem import Severity
from mimctl.model.site import Site

#: renewed files are seen, and the event cleared, within so long [s]
CERTIFICATES_EVERY_S = 3600.0
_CODE = "link.certificate"


def certificates_in_trouble(site: Site, now: datetime) -> dict[str, str]:
    """By link, what is wrong with its certificates and keys. Reads files."""
    found = ((link.id, [trouble.text for trouble in certificate_troubles(link, now)]) for link in site.links)
    return {link: "; ".join(texts) for link, texts in found if texts}


def note_certificates(troubles: dict[str, str], events: EventLog) -> None:
    """Raise what holds and clear what no longer does."""
    events.keep_only(_CODE, [(link, f"{link}: {text}") for link, text in troubles.items()], Severity.WARNING)
