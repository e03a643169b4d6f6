"""The gRPC interface of the stand-in for ChirpStack: who may call, what is refused, and what goes into which queue."""

from __future__ import annotations

from typing import Any, Protocol


class Queues(Protocol):
    """What calls are about."""

    token: str

    def has(self, eui: str) -> bool: ...

    def put(self, item: Any, *, flush: bool) -> str: ...

    def drop(self, eui: str) -> None: ...

    def has_group(self, group: str) -> bool: ...

    def put_group(self, item: Any) -> int: ...

    def drop_group(self, group: str) -> None: ...


async def _authorised(queues: Queues, context: Any, *, known: bool) -> None:
    """Refuse a call without the token, or about what the token has no right to."""
    import grpc

    given = dict(context.invocation_metadata()).get("authorization")
    if given is None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no authorization provided")
    if given != f"Bearer {queues.token}" or not known:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "")


async def _require_port(item: Any, context: Any) -> None:
    import grpc

    if not 1 <= item.f_port <= 255:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "FPort must be between 1 and 255")


def device_servicer(queues: Queues) -> Any:
    from chirpstack_api import api
    from google.protobuf.empty_pb2 import Empty

    class Devices(api.DeviceServiceServicer):  # type: ignore[misc]
        async def Enqueue(self, request: Any, context: Any) -> Any:
            await _authorised(queues, context, known=queues.has(request.queue_item.dev_eui))
            await _require_port(request.queue_item, context)
            return api.EnqueueDeviceQueueItemResponse(id=queues.put(request.queue_item, flush=request.flush_queue))

        async def FlushQueue(self, request: Any, context: Any) -> Any:
            await _authorised(queues, context, known=queues.has(request.dev_eui))
            queues.drop(request.dev_eui)
            return Empty()

    return Devices()


def group_servicer(queues: Queues) -> Any:
    from chirpstack_api import api
    from google.protobuf.empty_pb2 import Empty

    class Groups(api.MulticastGroupServiceServicer):  # type: ignore[misc]
        async def Enqueue(self, request: Any, context: Any) -> Any:
            await _authorised(queues, context, known=queues.has_group(request.queue_item.multicast_group_id))
            await _require_port(request.queue_item, context)
            return api.EnqueueMulticastGroupQueueItemResponse(f_cnt=queues.put_group(request.queue_item))

        async def FlushQueue(self, request: Any, context: Any) -> Any:
            await _authorised(queues, context, known=queues.has_group(request.multicast_group_id))
            queues.drop_group(request.multicast_group_id)
            return Empty()

    return Groups()


def device_info(application: str, eui: str, name: str, *, listens: bool) -> Any:
    """What every event says of its device."""
    from chirpstack_api import common, integration

    return integration.DeviceInfo(
        tenant_id="52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
        application_id=application,
        application_name="mims",
        device_profile_name="class c",
        device_name=name,
        dev_eui=eui,
        device_class_enabled=common.CLASS_C if listens else common.CLASS_A,
    )
