"""The whole way over Modbus/TCP Security: mutual TLS with certificates made for the occasion."""

from __future__ import annotations

from pathlib import Path

from tests.site_factory import write_site
from tests.system.service_harness import hall_dict, lookers, machine, until

from mimctl.wire.tls import make_throwaway_pki


def test_a_site_on_tls_links_is_balanced_and_released(tmp_path: Path) -> None:
    pki = make_throwaway_pki(tmp_path / "pki")
    client = {"ca": "pki/ca.pem", "certificate": "pki/client.pem", "key": "pki/client.key"}
    data = hall_dict(racks=2)
    for link in data["links"]:
        link |= {"type": "modbus_tls", "tls": {**client, "server_name": "localhost"}}
    site = write_site(tmp_path, data)
    with machine(tmp_path) as here:
        here.twin(site)
        run = here.service(site)
        here.balanced(run, mims=2)
        files = {"ca": str(pki.client.ca), "certificate": str(pki.client.certificate), "key": str(pki.client.key)}
        with lookers(data["links"][1]["port"], [111, 112], host="localhost", tls=files) as mims:
            assert any(not mim.at_rest() for mim in mims)
            assert run.stop() == 0
            assert [mim.control()["Cmt"]["Ena"] for mim in mims] == [0, 0]
            until(lambda: all(max(map(abs, mim.output_w())) < 1 for mim in mims), "the outputs have gone down")


def test_without_a_certificate_that_the_devices_accept_nothing_answers_and_the_service_says_why(tmp_path: Path) -> None:
    make_throwaway_pki(tmp_path / "pki")
    make_throwaway_pki(tmp_path / "other")
    data = hall_dict(racks=2)
    for link in data["links"]:
        files = {"ca": "pki/ca.pem", "certificate": "other/client.pem", "key": "other/client.key"}
        link |= {"type": "modbus_tls", "tls": {**files, "server_name": "localhost"}}
    site = write_site(tmp_path, data)
    with machine(tmp_path) as here:
        here.twin(site)
        run = here.service(site)

        def nobody_answers() -> bool:
            status = here.ask()
            return status is not None and len([e for e in status["events"] if e["code"] == "device.unreachable"]) >= 6

        until(nobody_answers, "every device is reported")
        assert here.zone()["state"] == "blind"
        assert run.stop() == 0
