/** The GDB remote serial protocol client, usable alone: see docs/rsp.md. */
export { EbscopeError, type ErrorCode } from "../base/error.ts";
export { type ClientOptions, DEFAULT_FEATURES, type QemuKind, RspClient } from "./client.ts";
export type { Command, Label, Reply } from "./command.ts";
export * from "./commands/index.ts";
export { type BatchRequest, Connection, type ConnectionOptions, type RequestOptions } from "./connection.ts";
export type { AckMode } from "./link.ts";
export { encodePacket, type Frame, PacketDecoder } from "./packet.ts";
export { PcapTap } from "./pcap.ts";
export { RecordFile } from "./record-file.ts";
export { parseStopReply, type SignalStop, type StopReason, type StopReply, type Watch } from "./reply.ts";
export { type Direction, type Tap, type TapEnd, tapped } from "./tap.ts";
export { type TranscriptAbout, TranscriptTap } from "./transcript.ts";
export { connectTransport, parseStubAddress, type StubAddress, stubAddressText, type Transport } from "./transport.ts";
