"""What is, or soon will be, wrong with the certificates and keys of links: said before a link is down because of it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mimctl.config.quoting import count
from mimctl.model.link import Link, TlsFiles

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: whoever renews certificates by hand wants to know so long before
SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CertificateTrouble:
    """One thing that is wrong with one file.

    Args:
        key: of the link in the site file, such as `tls.ca`.
        code: link.tls_file (missing or unreadable), link.tls_date or link.tls_key.
    """

    key: str
    file: Path
    code: str
    text: str


def certificate_troubles(link: Link, now: datetime) -> Iterator[CertificateTrouble]:
    """Everything about the files of one link, at most one line for each file but for a key that is open to others.

    Args:
        now: UTC, aware.
    """
    if link.tls is not None:
        yield from _authority("tls.ca", link.tls.ca, now)
        yield from _pair(link.tls, now)
    if link.lorawan is not None and link.lorawan.api_ca is not None:
        yield from _authority("lorawan.api_ca", link.lorawan.api_ca, now)


def _authority(key: str, file: Path, now: datetime) -> Iterator[CertificateTrouble]:
    """Of several authorities one good one is enough: an old one stays in the file while devices change over to the new."""
    found = _certificates(key, file)
    if isinstance(found, CertificateTrouble):
        yield found
        return
    said = [_dates(certificate, now) for certificate in found]
    if all(said):
        yield CertificateTrouble(key, file, "link.tls_date", f"{file}: {said[-1]}")


def _pair(files: TlsFiles, now: datetime) -> Iterator[CertificateTrouble]:
    """Our certificate with those between it and the authority, and the key of the first."""
    own = _certificates("tls.certificate", files.certificate)
    if isinstance(own, CertificateTrouble):
        yield own
    else:
        said = next((text for certificate in own if (text := _dates(certificate, now)) is not None), None)
        if said is not None:
            yield CertificateTrouble("tls.certificate", files.certificate, "link.tls_date", f"{files.certificate}: {said}")
    yield from _key(files.key, files.certificate, None if isinstance(own, CertificateTrouble) else own[0])


def _key(file: Path, named: Path, certificate: Certificate | None) -> Iterator[CertificateTrouble]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read("tls.key", file)
    if isinstance(content, CertificateTrouble):
        yield content
        return
    if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        text = f"{file} is a private key that every user of this machine can read: chmod o-rw {file}"
        yield CertificateTrouble("tls.key", file, "link.tls_key", text)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        text = f"{file} is encrypted, and nobody is there to type its password: store it in the clear, readable by mimctl alone"
        yield CertificateTrouble("tls.key", file, "link.tls_key", text)
        return
    except (ValueError, UnsupportedAlgorithm):
        yield CertificateTrouble("tls.key", file, "link.tls_file", f"{file} holds no private key (PEM)")
        return
    if certificate is not None and key.public_key() != certificate.public_key():
        yield CertificateTrouble("tls.key", file, "link.tls_key", f"{file} is not the key of {named}: they are of two pairs")


def _certificates(key: str, file: Path) -> Sequence[Certificate] | CertificateTrouble:
    """The certificates in a file, at least one."""
    from cryptography.x509 import load_pem_x509_certificates

    content = _read(key, file)
    if isinstance(content, CertificateTrouble):
        return content
    try:
        return load_pem_x509_certificates(content)
    except ValueError:
        return CertificateTrouble(key, file, "link.tls_file", f"{file} holds no certificate (PEM)")


def _read(key: str, file: Path) -> bytes | CertificateTrouble:
    try:
        # whoever names a pipe or a device should not wait for it
        if stat.S_ISREG(file.stat().st_mode):
            return file.read_bytes()
        why = "it is no ordinary file"
    except FileNotFoundError:
        return CertificateTrouble(key, file, "link.tls_file", f"there is no file '{file}'")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    return CertificateTrouble(key, file, "link.tls_file", f"{file} cannot be read: {why}")


def _dates(certificate: Certificate, now: datetime) -> str | None:
    """What is wrong with the time for which a certificate is good; None while nothing is."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return f"not valid before {begin:%Y-%m-%d %H:%M} UTC: wait, or set the clock of this machine ({now:%Y-%m-%d %H:%M})"
    if now > end:
        return f"expired on {end:%Y-%m-%d}: renew it, no connection is made with it"
    if end - now < SOON:
        return f"expires in {count((end - now).days, 'day')}, on {end:%Y-%m-%d}: renew it"
    return None
