"""TLS for Modbus: both sides show a certificate. Contexts from a site's files, and a throw-away PKI for twins and tests.

Reference: MODBUS/TCP Security Protocol Specification v36, Modbus Organization (mutual TLS, role in an X.509v3 extension).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mimctl.model.clock import SystemClock
from mimctl.model.errors import UserError
from mimctl.model.link import TlsFiles

#: the extension in which a client certificate carries its role, a DER UTF8String
ROLE_OID = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
_UTF8_STRING = 0x0C


class _ClosedWhenRefused(ssl.SSLSocket):
    """A socket whose handshake fails is closed at once: blocking clients leave it to the collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For a client that shows its certificate and trusts only `files.ca`; the server's name is checked.

    Raises:
        UserError: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _ClosedWhenRefused
    return _load(context, files)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For a server that answers only clients with a certificate of `files.ca`.

    Raises:
        UserError: a file is missing or unusable.
    """
    context = _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (files.ca, files.certificate, files.key):
        if not os.access(file, os.R_OK):
            raise UserError(f"TLS file cannot be read: {file}")
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise UserError(f"not a CA certificate (PEM): {files.ca}") from error
    try:
        # without a password function OpenSSL would ask on the terminal
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        raise UserError(
            f"certificate {files.certificate} and key {files.key} are not an unencrypted PEM pair ({error.reason})"
        ) from error
    return context


#: verification results of OpenSSL that mean "signed by nobody we trust": 7 bad signature, 18, 19 self-signed, 20, 21 no issuer
_OTHER_AUTHORITY = (7, 18, 19, 20, 21)
_HOSTNAME_MISMATCH = 62


def why_refused(error: ssl.SSLError, files: TlsFiles) -> str:
    """Whose certificate was refused by whom, and which file to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message.rstrip(".")
        if error.verify_code in _OTHER_AUTHORITY:
            return f"the certificate of the device is not of the authority in {files.ca} ({message})"
        hint = "; set 'server_name' to a name that is in it" if error.verify_code == _HOSTNAME_MISMATCH else ""
        return f"the certificate of the device is not accepted: {message}{hint}"
    told = (error.reason or str(error)).lower()
    if "alert" in told and ("certificate" in told or "unknown_ca" in told):
        return f"the device does not accept {files.certificate} ({told.rpartition('alert_')[2].replace('_', ' ')})"
    hint = "; it does not seem to speak TLS" if told == "wrong_version_number" else ""
    return told.replace("_", " ") + hint


def role_of(certificate: bytes) -> str | None:
    """The role in a client certificate (DER); None if it carries none."""
    try:
        extension = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(ROLE_OID)
    except x509.ExtensionNotFound:
        return None
    raw = extension.value.value if isinstance(extension.value, x509.UnrecognizedExtension) else b""
    if len(raw) < 2 or raw[0] != _UTF8_STRING or raw[1] != len(raw) - 2:
        return None
    return raw[2:].decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class ThrowawayPki:
    """A certificate authority that nobody should trust, and one pair for each side.

    Args:
        others: further clients, by name.
    """

    server: TlsFiles
    client: TlsFiles
    others: Mapping[str, TlsFiles] = field(default_factory=dict)


def make_throwaway_pki(
    directory: Path,
    *,
    hosts: Sequence[str] = ("localhost", "127.0.0.1"),
    role: str | None = "operator",
    others: Sequence[str] = (),
    valid: timedelta = timedelta(days=90),
    now: datetime | None = None,
) -> ThrowawayPki:
    """Make a CA, a server and a client pair in `directory`; the keys are readable by their owner alone.

    Args:
        hosts: names and addresses that the server answers under.
        role: of the client, by the role extension; None = none.
        others: names of further clients, which have no role.
        now: begin of validity (less five minutes for skewed clocks), UTC; None = the present.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begin = (now or SystemClock().utc()) - timedelta(minutes=5)
    ca = _Authority(begin, begin + valid)
    server_names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    ca_file = _write(directory / "ca.pem", ca.certificate.public_bytes(serialization.Encoding.PEM))
    server = ca.issue("mimctl twin", ExtendedKeyUsageOID.SERVER_AUTH, [server_names])
    role_value = [] if role is None else [x509.UnrecognizedExtension(ROLE_OID, _utf8_string(role))]
    client = ca.issue("mimctl", ExtendedKeyUsageOID.CLIENT_AUTH, role_value)
    return ThrowawayPki(
        server=_store(directory, "server", ca_file, server, hosts[0]),
        client=_store(directory, "client", ca_file, client, hosts[0]),
        others={
            name: _store(directory, name, ca_file, ca.issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, []), hosts[0]) for name in others
        },
    )


class _Authority:
    """A fresh P-256 key that signs for itself and others."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin, self._end = begin, end
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("mimctl throw-away CA")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())

    def issue(
        self, common_name: str, use: x509.ObjectIdentifier, extensions: Sequence[x509.ExtensionType]
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(common_name), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256()), key

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority, critical=False)
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _utf8_string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 127:
        raise ValueError(f"a role has at most 127 bytes, not {len(raw)}")
    return bytes((_UTF8_STRING, len(raw))) + raw


def _store(
    directory: Path, stem: str, ca: Path, issued: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], server_name: str
) -> TlsFiles:
    certificate, key = issued
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    certificate_file = _write(directory / f"{stem}.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return TlsFiles(ca, certificate_file, _write(directory / f"{stem}.key", pem, mode=0o600), server_name)


def _write(file: Path, content: bytes, mode: int = 0o644) -> Path:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    return file.absolute()
