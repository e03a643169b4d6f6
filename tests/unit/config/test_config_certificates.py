"""Certificates and keys of links: told before they are the reason why a link is down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from mimctl.config.certificates import certificate_troubles
from mimctl.config.site import check_site
from mimctl.model.link import Link, LinkType, TlsFiles
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.tls import ThrowawayPki, make_throwaway_pki
from site_factory import site_dict, write_site

#: begin of validity of what is made here is five minutes earlier
MADE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VALID = timedelta(days=100)


@pytest.fixture
def pki(tmp_path: Path) -> ThrowawayPki:
    return make_throwaway_pki(tmp_path, now=MADE, valid=VALID)


def told(files: TlsFiles, after: timedelta) -> list[tuple[str, str, str]]:
    """Key, code and text, without the folder."""
    link = Link("gw", LinkType.MODBUS_TLS, "h", 802, tls=files)
    found = certificate_troubles(link, MADE + after)
    return [(t.key, t.code, t.text.replace(f"{files.ca.parent}/", "")) for t in found]


@pytest.mark.parametrize("days", [0, 50, 69.99])
def test_good_files_are_not_talked_about(pki, days):
    assert told(pki.client, timedelta(days=days)) == []


@pytest.mark.parametrize(
    ("after", "text"),
    [
        # the end is 2026-06-09 11:55
        pytest.param(timedelta(days=70), "expires in 29 days, on 2026-06-09: renew it", id="soon"),
        pytest.param(timedelta(days=98, hours=1), "expires in 1 day, on 2026-06-09: renew it", id="very soon"),
        pytest.param(timedelta(days=100), "expired on 2026-06-09: renew it, no connection is made with it", id="expired"),
        pytest.param(
            timedelta(hours=-1),
            "not valid before 2026-03-01 11:55 UTC: wait, or set the clock of this machine (2026-03-01 11:00)",
            id="not yet",
        ),
    ],
)
def test_dates_of_the_authority_and_of_our_certificate(pki, after, text):
    assert told(pki.client, after) == [
        ("tls.ca", "link.tls_date", f"ca.pem: {text}"),
        ("tls.certificate", "link.tls_date", f"client.pem: {text}"),
    ]


def test_an_old_authority_may_stay_beside_a_new_one(pki, tmp_path):
    new = make_throwaway_pki(tmp_path / "new", now=MADE + VALID, valid=VALID)
    pki.client.ca.write_bytes(pki.client.ca.read_bytes() + new.client.ca.read_bytes())
    later = timedelta(days=101)
    assert [key for key, _, _ in told(pki.client, later)] == ["tls.certificate"]
    # of a chain every certificate has to be good
    chain = tmp_path / "chain.pem"
    chain.write_bytes(new.client.certificate.read_bytes() + pki.client.certificate.read_bytes())
    files = replace(new.client, certificate=chain, ca=pki.client.ca)
    assert [(key, text) for key, _, text in told(files, later)] == [
        ("tls.certificate", "chain.pem: expired on 2026-06-09: renew it, no connection is made with it")
    ]


def test_the_key_of_another_certificate(pki):
    text = "server.key is not the key of client.pem: they are of two pairs"
    assert told(replace(pki.client, key=pki.server.key), timedelta()) == [("tls.key", "link.tls_key", text)]


@pytest.mark.parametrize(("mode", "wrong"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_key_that_everybody_can_read(pki, mode, wrong):
    pki.client.key.chmod(mode)
    text = "client.key is a private key that every user of this machine can read: chmod o-rw client.key"
    assert told(pki.client, timedelta()) == ([("tls.key", "link.tls_key", text)] if wrong else [])


def test_an_encrypted_key(pki):
    key = serialization.load_pem_private_key(pki.client.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    pki.client.key.write_bytes(encoded)
    [(_, code, text)] = told(pki.client, timedelta())
    assert code == "link.tls_key"
    assert text.startswith("client.key is encrypted, and nobody is there to type its password")


def test_files_that_are_something_else(pki, tmp_path):
    (tmp_path / "text").write_text("hello\n", encoding="utf-8")
    (tmp_path / "text").chmod(0o600)
    text, folder, absent = tmp_path / "text", tmp_path / "folder", tmp_path / "absent"
    folder.mkdir()
    assert [text for _, _, text in told(TlsFiles(pki.client.ca.parent / "text", text, text), timedelta())] == [
        "text holds no certificate (PEM)",
        "text holds no certificate (PEM)",
        "text holds no private key (PEM)",
    ]
    odd = told(replace(pki.client, certificate=folder, key=absent), timedelta())
    assert [text.replace(f"{tmp_path}/", "") for _, _, text in odd] == [
        "folder cannot be read: it is no ordinary file",
        "there is no file 'absent'",
    ]


def test_a_file_in_a_folder_that_is_closed_to_us(pki, monkeypatch):
    def closed(self: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", closed)
    assert [text for _, _, text in told(pki.client, timedelta())] == [
        f"{name} cannot be read: permission denied" for name in ("ca.pem", "client.pem", "client.key")
    ]


def test_the_authority_of_the_network_server_of_a_lorawan_link(pki):
    link = Link("air", LinkType.LORAWAN, "h", 8883, lorawan=LorawanLink("app", "h", api_ca=pki.client.ca))
    [trouble] = certificate_troubles(link, MADE + VALID)
    assert (trouble.key, trouble.file) == ("lorawan.api_ca", pki.client.ca)


def test_check_tells_of_a_file_once_at_its_place(tmp_path):
    make_throwaway_pki(tmp_path / "pki", valid=timedelta(days=20))
    data = site_dict(racks=2)
    for n, link in enumerate(data["links"]):
        link |= {"type": "modbus_tls", "tls": {"ca": "pki/ca.pem", "certificate": "pki/client.pem", "key": "pki/client.key"}}
        link["port"] = 15020 + n
    site, problems = check_site(write_site(tmp_path, data))
    assert site is not None
    assert [(p.severity.value, p.code, p.path) for p in problems] == [
        ("warning", "link.tls_date", "links[0].tls.ca"),
        ("warning", "link.tls_date", "links[0].tls.certificate"),
    ]
    assert all(p.line > 0 and "expires in 19 days" in p.message for p in problems)
