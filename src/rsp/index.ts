/** The GDB remote serial protocol client, usable alone. */
export { Connection, type ConnectionOptions, type RequestOptions } from "./connection.ts";
export { encodePacket, type Frame, PacketDecoder } from "./packet.ts";
export { errorReply, parseStopReply, parseSupported, type StopReply } from "./reply.ts";
export { connectTransport, parseStubAddress, type StubAddress, stubAddressText, type Transport } from "./transport.ts";
