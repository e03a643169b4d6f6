"""The throw-away PKI: what is in it, and who may read it."""

from __future__ import annotations

import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from mimctl.wire import tls


def _load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_keys_are_their_owners_alone_and_paths_are_absolute(tmp_path: Path) -> None:
    pki = tls.make_throwaway_pki(tmp_path / "new" / "directory")
    for side in (pki.server, pki.client):
        assert stat.S_IMODE(side.key.stat().st_mode) == 0o600
        assert side.key.is_absolute()
        assert side.certificate.is_absolute()


def test_old_files_are_replaced_also_where_their_mode_was_wide(tmp_path: Path) -> None:
    first = tls.make_throwaway_pki(tmp_path)
    before = first.client.key.read_bytes()
    first.client.key.chmod(0o644)
    second = tls.make_throwaway_pki(tmp_path)
    assert second.client.key.read_bytes() != before
    assert stat.S_IMODE(second.client.key.stat().st_mode) == 0o600


def test_certificates_are_short_lived_and_bound_to_their_use(tmp_path: Path) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    pki = tls.make_throwaway_pki(tmp_path, now=now, valid=timedelta(days=2), hosts=("twin.example", "127.0.0.1", "::1"))
    server, client = _load(pki.server.certificate), _load(pki.client.certificate)
    for certificate in (server, client, _load(pki.server.ca)):
        assert certificate.not_valid_before_utc == now - timedelta(minutes=5)
        assert certificate.not_valid_after_utc == now - timedelta(minutes=5) + timedelta(days=2)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["twin.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    uses = [c.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value for c in (server, client)]
    assert [list(u) for u in uses] == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
    client.verify_directly_issued_by(_load(pki.client.ca))


@pytest.mark.parametrize("role", ["operator", "Betreiber Süd", None])
def test_role_is_in_the_client_certificate(tmp_path: Path, role: str | None) -> None:
    pki = tls.make_throwaway_pki(tmp_path, role=role)
    der = _load(pki.client.certificate).public_bytes(serialization.Encoding.DER)
    assert tls.role_of(der) == role
    assert tls.role_of(_load(pki.server.certificate).public_bytes(serialization.Encoding.DER)) is None


def test_role_extension_is_a_der_utf8_string(tmp_path: Path) -> None:
    """X.690: tag 0x0C, length, bytes; the identifier is that of the Modbus/TCP Security specification."""
    pki = tls.make_throwaway_pki(tmp_path, role="viewer")
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
    value = _load(pki.client.certificate).extensions.get_extension_for_oid(oid).value
    assert value.public_bytes() == b"\x0c\x06viewer"


def test_role_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="127"):
        tls.make_throwaway_pki(tmp_path, role="x" * 128)


def test_a_socket_is_closed_when_its_handshake_fails(tmp_path: Path) -> None:
    """Of a blocking client; what the collector has to close is a warning, and a file descriptor until then."""
    context = tls.client_context(tls.make_throwaway_pki(tmp_path).client)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname(), timeout=5.0)
        wrapped = context.wrap_socket(ours, server_hostname="localhost", do_handshake_on_connect=False)
        server.accept()[0].close()
        with pytest.raises(OSError, match=r"EOF|reset"):
            wrapped.do_handshake()
        assert wrapped.fileno() == -1
