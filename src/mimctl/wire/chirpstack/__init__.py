"""The LoRaWAN bridge: events of ChirpStack over MQTT, downlinks by gRPC. Nothing else imports chirpstack_api, grpc or aiomqtt."""

from __future__ import annotations

from importlib import import_module

from mimctl.model.errors import UserError

_NEEDED = ("aiomqtt", "grpc", "chirpstack_api.api", "chirpstack_api.integration")


def require_extra() -> None:
    """Import what the bridge needs.

    Raises:
        UserError: the extra is not installed.
    """
    try:
        for name in _NEEDED:
            import_module(name)
    except ImportError as error:
        raise UserError(f"LoRaWAN links need the extra 'lorawan': pip install 'mimctl[lorawan]' ({error})") from error
