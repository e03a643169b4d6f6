"""ChirpStack's gRPC interface: the queues of devices and of multicast groups. Every call ends with an answer or a link error."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, LinkDown, LinkError, LinkTimeout
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.chirpstack.stream import Backoff

#: longest wait for the answer to a call [s]
CALL_S = 5.0
#: gRPC must not come back later than we ask: its own pause grows to two minutes
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)


class ServerApi:
    """Puts downlinks into the queues of devices.

    After an outage calls fail at once for a while, longer each time, so that a dead server does not hold up the living.

    Args:
        call_s: longest wait for an answer [s].
    """

    def __init__(self, spec: LorawanLink, clock: Clock, *, call_s: float = CALL_S, backoff: Backoff | None = None) -> None:
        self._spec, self._clock, self._call_s = spec, clock, call_s
        self._backoff = backoff or Backoff(0.5, 30.0)
        self._channel: Any = None
        self._failures = 0
        self._rests_until_s = 0.0
        self._why = ""

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def require_rested(self, device: str) -> None:
        """
        Raises:
            LinkDown: the server was not there a moment ago, and is left alone for a while.
        """
        if self._clock.monotonic_s() < self._rests_until_s:
            raise LinkDown(device, self._why)

    async def enqueue(self, device: str, eui: str, port: int, payload: bytes, valid_s: float) -> str:
        """Put a downlink into a device's queue in place of whatever waits there.

        Args:
            device: for messages.
            valid_s: the server drops it when it was not sent by then [s].

        Returns:
            Its id, which later events name.

        Raises:
            LinkDown: the server cannot be reached.
            LinkTimeout: it does not answer.
            BadReply: it refuses.
        """
        from chirpstack_api import api

        item = api.DeviceQueueItem(dev_eui=eui, confirmed=self._spec.confirmed, f_port=port, data=payload)
        item.expires_at.FromDatetime(_naive(self._clock.utc() + timedelta(seconds=valid_s)))
        request = api.EnqueueDeviceQueueItemRequest(queue_item=item, flush_queue=True)
        answer = await self._call(device, api.DeviceServiceStub(self._opened(device)).Enqueue, request)
        return str(answer.id)

    async def flush(self, device: str, eui: str) -> None:
        """Drop what waits in a device's queue. Raises as `enqueue`."""
        from chirpstack_api import api

        request = api.FlushDeviceQueueRequest(dev_eui=eui)
        await self._call(device, api.DeviceServiceStub(self._opened(device)).FlushQueue, request)

    async def enqueue_group(self, device: str, group: str, port: int, payload: bytes, valid_s: float) -> str:
        """Put a frame into the queue of a multicast group, behind whatever waits there.

        Returns:
            The group's frame counter, which no later event names: nobody is told what becomes of the frame.

        Raises: as `enqueue`.
        """
        from chirpstack_api import api

        item = api.MulticastGroupQueueItem(multicast_group_id=group, f_port=port, data=payload)
        item.expires_at.FromDatetime(_naive(self._clock.utc() + timedelta(seconds=valid_s)))
        request = api.EnqueueMulticastGroupQueueItemRequest(queue_item=item)
        answer = await self._call(device, api.MulticastGroupServiceStub(self._opened(device)).Enqueue, request)
        return f"group {group} frame {answer.f_cnt}"

    async def flush_group(self, device: str, group: str) -> None:
        """Drop what waits in the queue of a multicast group. Raises as `enqueue`."""
        from chirpstack_api import api

        request = api.FlushMulticastGroupQueueRequest(multicast_group_id=group)
        await self._call(device, api.MulticastGroupServiceStub(self._opened(device)).FlushQueue, request)

    async def _call(self, device: str, method: Any, request: Any) -> Any:
        from grpc import RpcError

        metadata = (("authorization", f"Bearer {read_token(device, self._spec)}"),)
        try:
            answer = await method(request, metadata=metadata, timeout=self._call_s)
        except RpcError as error:
            raise self._failed(device, error) from None
        self._failures, self._rests_until_s = 0, 0.0
        return answer

    def _opened(self, device: str) -> Any:
        import grpc

        if self._channel is None:
            target = f"{self._spec.api_host}:{self._spec.api_port}"
            if self._spec.api_ca is None:
                self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            else:
                try:
                    trusted = self._spec.api_ca.read_bytes()
                except OSError as error:
                    raise LinkDown(device, f"TLS file cannot be read: {self._spec.api_ca} ({error.strerror})") from None
                credentials = grpc.ssl_channel_credentials(trusted)
                self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        return self._channel

    def _failed(self, device: str, error: Any) -> LinkError:
        from grpc import StatusCode

        code, where = error.code(), f"ChirpStack at {self._spec.api_host}:{self._spec.api_port}"
        detail = " ".join(str(error.details() or "").split())[:200]
        if code in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED):
            self._rests_until_s = self._clock.monotonic_s() + self._backoff.pause_s(self._failures)
            self._failures += 1
            self._why = f"{where} cannot be reached: {detail or code.name}"
            return (
                LinkTimeout(device, f"{where} does not answer")
                if code is StatusCode.DEADLINE_EXCEEDED
                else LinkDown(device, self._why)
            )
        if code is StatusCode.UNAUTHENTICATED:
            hint = detail or "the token has no right to this device, or there is no such device in its tenant"
            return BadReply(device, f"{where} refuses the API token: {hint}")
        return BadReply(device, f"{where} refuses the downlink: {code.name} {detail}".rstrip())


def read_token(device: str, spec: LorawanLink) -> str:
    """The API token, read anew each time so that it can be changed while mimctl runs. It is never logged.

    Raises:
        LinkDown: there is none.
    """
    if spec.token_file is not None:
        return _from_file(device, spec.token_file)
    token = os.environ.get(spec.token_variable, "").strip()
    if not token:
        raise LinkDown(device, f"no API token: name a 'token_file', or set the variable {spec.token_variable}")
    return token


def _from_file(device: str, file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise LinkDown(device, f"the API token cannot be read from {file} ({type(error).__name__})") from None
    if not token or not token.isprintable() or " " in token:
        raise LinkDown(device, f"{file} holds no API token")
    return token


def _naive(instant: datetime) -> datetime:
    """UTC without its name, as protobuf takes it."""
    return instant.replace(tzinfo=None)
