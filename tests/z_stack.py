"""A Z-Stack 3.0 behind a socket: the serial protocol of a real coordinator, as far as zigpy-znp asks for it, over an air."""

from __future__ import annotations

import asyncio
import contextlib

import zigpy_znp.commands as c
import zigpy_znp.types as t
from zigpy_znp import const
from zigpy_znp.frames import TransportFrame
from zigpy_znp.types.nvids import OsalNvIds

from mimctl.wire.zigbee.air import Frame
from mimctl.wire.zigbee.node import BASIC, Node

CAPABILITIES = t.MTCapabilities.SYS | t.MTCapabilities.AF | t.MTCapabilities.ZDO | t.MTCapabilities.UTIL | t.MTCapabilities.APP_CNF
OK = t.Status.SUCCESS
VERSION = {"TransportRev": 2, "ProductId": 1, "MajorRel": 2, "MinorRel": 7, "MaintRel": 1}
ONE_BYTE = (
    OsalNvIds.STARTUP_OPTION,
    OsalNvIds.PRECFGKEYS_ENABLE,
    OsalNvIds.ZDO_DIRECT_CB,
    OsalNvIds.CONCENTRATOR_ENABLE,
    OsalNvIds.CONCENTRATOR_DISCOVERY,
    OsalNvIds.CONCENTRATOR_RC,
    OsalNvIds.SRC_RTG_EXPIRY_TIME,
    OsalNvIds.NWK_CHILD_AGE_ENABLE,
    OsalNvIds.BCAST_DELIVERY_TIME,
)


class ZStack:
    """`codes`: keys of install codes that were taken; `permits`: each (seconds, whether only install codes let devices in).

    Args:
        install_codes: its firmware knows them.
    """

    def __init__(self, air, eui="00124b0000c0ffee", *, install_codes=True):
        self.air, self.eui = air, t.EUI64.convert(eui)
        self.nv = {int(OsalNvIds.EXTADDR): self.eui.serialize(), int(OsalNvIds.LOGICAL_TYPE): b"\x00"}
        self.nv |= {int(item): b"\x00" for item in ONE_BYTE}
        self.codes, self.strict, self.permits, self.install_codes = [], False, [], install_codes
        self.writer = self.server = None
        #: what it says of itself when its own host asks
        self.me = Node(eui, 0, self._from_air, {(1, BASIC, None): {}, (2, BASIC, None): {}, (242, 0x0021, None): {}})

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"socket://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def stop(self):
        if self.writer is not None:
            self.writer.close()
        self.server.close()
        await self.server.wait_closed()

    def restart(self):
        """Its firmware begins anew; the line stays."""
        self.air.detach()
        self.say(
            c.SYS.ResetInd.Callback(Reason=t.ResetReason.PowerUp, TransportRev=2, ProductId=1, MajorRel=2, MinorRel=7, MaintRel=1)
        )

    async def _serve(self, reader, writer):
        self.writer, buffer = writer, b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                buffer += data
                while (at := buffer.find(b"\xfe")) >= 0 and len(buffer) >= at + 5 and len(buffer) >= at + 5 + buffer[at + 1]:
                    frame, buffer = TransportFrame.deserialize(buffer[at:])
                    self._obey(c.COMMANDS_BY_ID[frame.payload.header].from_frame(frame.payload))
        self.air.detach()
        writer.close()

    def say(self, message):
        if self.writer is not None and not self.writer.is_closing():
            self.writer.write(TransportFrame(message.to_frame()).serialize())

    def _obey(self, request):
        take = getattr(self, "on_" + type(request).__qualname__.replace(".", "_").replace("_Req", ""), None)
        if take is None or ("Install" in take.__name__ and not self.install_codes):
            self.say(
                c.RPCError.CommandNotRecognized.Rsp(ErrorCode=c.rpc_error.ErrorCode.InvalidCommandId, RequestHeader=request.header)
            )
            return
        for message in take(request) or ():
            self.say(message)

    # what the firmware is

    def on_SYS_Ping(self, _):
        yield c.SYS.Ping.Rsp(Capabilities=CAPABILITIES)

    def on_SYS_Version(self, _):
        build = c.sys.BootloaderBuildType.NON_BOOTLOADER_BUILD
        yield c.SYS.Version.Rsp(**VERSION, CodeRevision=20230507, BootloaderBuildType=build, BootloaderRevision=0xFFFFFFFF)

    def on_SYS_ResetReq(self, _):
        if self.nv.get(int(OsalNvIds.STARTUP_OPTION), b"\x00") != b"\x00":
            self.nv.pop(int(OsalNvIds.NIB), None)
            self.nv[int(OsalNvIds.STARTUP_OPTION)] = b"\x00"
        self.nv.setdefault(int(OsalNvIds.EXTADDR), self.eui.serialize())
        self.restart()
        return ()

    def on_UTIL_AssocFindDevice(self, _):
        yield c.UTIL.AssocFindDevice.Rsp(Device=t.Bytes(bytes(28)))  # structures without padding

    # its memory

    def on_SYS_OSALNVLength(self, request):
        yield c.SYS.OSALNVLength.Rsp(ItemLen=len(self.nv.get(int(request.Id), b"")))

    def on_SYS_OSALNVReadExt(self, request):
        yield c.SYS.OSALNVReadExt.Rsp(
            Status=OK, Value=t.ShortBytes(self.nv[int(request.Id)][request.Offset : request.Offset + 240])
        )

    def on_SYS_OSALNVItemInit(self, request):
        self.nv[int(request.Id)] = bytes(request.Value).ljust(request.ItemLen, b"\x00")
        yield c.SYS.OSALNVItemInit.Rsp(Status=t.Status.NV_ITEM_UNINIT)

    def on_SYS_OSALNVWriteExt(self, request):
        held, at, data = self.nv[int(request.Id)], request.Offset, bytes(request.Value)
        self.nv[int(request.Id)] = held[:at] + data + held[at + len(data) :]
        yield c.SYS.OSALNVWriteExt.Rsp(Status=OK)

    def on_SYS_OSALNVDelete(self, request):
        self.nv.pop(int(request.Id), None)
        yield c.SYS.OSALNVDelete.Rsp(Status=OK)

    # its network

    def on_AppConfig_BDBStartCommissioning(self, request):
        yield c.AppConfig.BDBStartCommissioning.Rsp(Status=OK)
        if int(OsalNvIds.NIB) not in self.nv:
            self._form()
        self.nv[int(OsalNvIds.BDBNODEISONANETWORK)] = b"\x01"
        self.air.attach(self._from_air, self.writer.close)
        done = c.app_config.BDBCommissioningStatus.Success
        yield c.ZDO.StateChangeInd.Callback(State=t.DeviceState.StartedAsCoordinator)
        yield c.AppConfig.BDBCommissioningNotification.Callback(
            Status=done, Mode=c.app_config.BDBCommissioningMode.NwkFormation, RemainingModes=c.app_config.BDBCommissioningMode.NONE
        )

    def _form(self):
        nib, _ = t.NIB.deserialize(bytes(300), align=False)
        nib.nwkLogicalChannel, nib.nwkPanId, nib.nwkKeyLoaded = t.uint8_t(15), t.uint16_t(0x1234), t.Bool(True)
        nib.SecurityLevel, nib.extendedPANID = t.uint8_t(5), t.EUI64.convert("0102030405060708")
        nib.channelList, nib.nwkState = t.Channels.from_channel_list([15]), t.NwkState.NWK_ROUTER
        self.nv[int(OsalNvIds.NIB)] = nib.serialize(align=False)
        key = t.NwkKeyDesc(KeySeqNum=t.uint8_t(0), Key=t.KeyData(bytes(range(16))))
        items = t.NwkActiveKeyItems(Active=key, FrameCounter=t.uint32_t(1))
        self.nv[int(OsalNvIds.NWK_ACTIVE_KEY_INFO)] = self.nv[int(OsalNvIds.NWK_ALTERN_KEY_INFO)] = key.serialize(align=False)
        self.nv[int(OsalNvIds.NWKKEY)] = items.serialize(align=False)
        self.nv[int(OsalNvIds.TCLK_SEED)] = bytes(16)
        self._tables()

    def _tables(self):
        """Of four entries each, and empty but for the frame counter of this network."""
        nobody = t.EUI64.convert("0000000000000000")
        nothing = {"keyAttributes": t.KeyAttributes.DEFAULT_KEY, "keyType": t.KeyType.NONE, "SeedShift_IcIndex": 0}
        empty = t.TCLKDevEntry(txFrmCntr=0, rxFrmCntr=0, extAddr=nobody, **nothing)
        key = t.APSKeyDataTableEntry(Key=t.KeyData(bytes(16)), TxFrameCounter=0, RxFrameCounter=0)
        first = t.NwkSecMaterialDesc(FrameCounter=1, ExtendedPanID=t.EUI64.convert("ffffffffffffffff"))
        for n in range(4):
            self.nv[OsalNvIds.LEGACY_NWK_SEC_MATERIAL_TABLE_START + n] = first.serialize(align=False)
            self.nv[OsalNvIds.LEGACY_TCLK_TABLE_START + n] = empty.serialize(align=False)
            self.nv[OsalNvIds.LEGACY_APS_LINK_KEY_DATA_START + n] = key.serialize(align=False)
        addresses = t.AddressManagerTable([const.EMPTY_ADDR_MGR_ENTRY_ZSTACK1] * 4)
        self.nv[int(OsalNvIds.ADDRMGR)] = addresses.serialize(align=False)
        self.nv[int(OsalNvIds.APS_LINK_KEY_TABLE)] = bytes(20)

    def on_AppConfig_BDBSetChannel(self, _):
        yield c.AppConfig.BDBSetChannel.Rsp(Status=OK)

    def on_AF_Register(self, _):
        yield c.AF.Register.Rsp(Status=OK)

    def on_ZDO_MsgCallbackRegister(self, _):
        yield c.ZDO.MsgCallbackRegister.Rsp(Status=OK)

    def on_ZDO_MgmtPermitJoinReq(self, request):
        self.permits.append((int(request.Duration), self.strict))
        if not request.Duration:
            self.air.open_to.clear()
        yield c.ZDO.MgmtPermitJoinReq.Rsp(Status=OK)
        yield c.ZDO.MgmtPermitJoinRsp.Callback(Src=t.NWK(0), Status=t.ZDOStatus.SUCCESS)

    def on_AppConfig_BDBAddInstallCode(self, request):
        self.codes.append(bytes(request.InstallCode))
        self.air.open_to[str(request.IEEE).replace(":", "")] = bytes(request.InstallCode)
        yield c.AppConfig.BDBAddInstallCode.Rsp(Status=OK)

    def on_AppConfig_BDBSetJoinUsesInstallCodeKey(self, request):
        self.strict = bool(request.BdbJoinUsesInstallCodeKey)
        yield c.AppConfig.BDBSetJoinUsesInstallCodeKey.Rsp(Status=OK)

    # frames

    def on_ZDO_ExtRouteChk(self, _):
        yield c.ZDO.ExtRouteChk.Rsp(Status=c.zdo.RoutingStatus.SUCCESS)

    def on_AF_DataRequestExt(self, request):
        yield c.AF.DataRequestExt.Rsp(Status=OK)
        dst = int(request.DstAddrModeAddress.address)
        profile = 0x0104 if request.DstEndpoint else 0
        frame = Frame(0, request.SrcEndpoint, dst, request.DstEndpoint, profile, request.ClusterId, bytes(request.Data))
        if dst == 0:
            self.me.receive(frame)
        else:
            self.air.carry(frame)
        heard = dst == 0 or dst >= 0xFFF8 or self.air.hears(dst)
        yield c.AF.DataConfirm.Callback(Status=OK if heard else t.Status.MAC_NO_ACK, Endpoint=request.SrcEndpoint, TSN=request.TSN)

    def _from_air(self, frame):
        cluster, src, zero = t.ClusterId(frame.cluster), t.NWK(frame.src), t.uint8_t(0)
        if frame.dst_ep == 0:
            told = {"Src": src, "ClusterId": cluster, "TSN": t.uint8_t(frame.data[0]), "Data": t.Bytes(frame.data[1:])}
            self.say(c.ZDO.MsgCbIncoming.Callback(**told, IsBroadcast=t.Bool(False), SecurityUse=zero, MacDst=t.NWK(0)))
            return
        ends = {"SrcEndpoint": t.uint8_t(frame.src_ep), "DstEndpoint": t.uint8_t(frame.dst_ep)}
        told = {"ClusterId": cluster, "SrcAddr": src, "Data": t.ShortBytes(frame.data), "MacSrcAddr": src, **ends}
        rest = {"GroupId": t.GroupId(0), "TimeStamp": t.uint32_t(0), "TSN": zero, "MsgResultRadius": t.uint8_t(30)}
        flags = {"WasBroadcast": t.Bool(False), "SecurityUse": t.Bool(False), "LQI": t.uint8_t(200)}
        self.say(c.AF.IncomingMsg.Callback(**told, **rest, **flags))
