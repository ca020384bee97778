/**
 * A session as a packet capture, for Wireshark and its dissector of the GDB remote protocol. Nothing was captured on a network: the bytes
 * are those of the session, the TCP connection around them is made up, on 127.0.0.1 and the stub's port.
 *
 * Source: draft-ietf-opsawg-pcap (the classic file format, microseconds; LINKTYPE_RAW, 101, is an IP packet without a link layer); RFC 791
 * (IPv4), RFC 9293 (TCP), RFC 7323 (window scale), RFC 1071 (checksums).
 *
 * Quirk of that dissector (seen in Wireshark 4.0): it looks at the first packet of a segment only, and takes one acknowledgement before
 * it. So each packet has a segment of its own, with its `+` when there is one, and longer runs of acknowledgements stand apart.
 */
import type { RecordFile } from "./record-file.ts";
import { Splitter } from "./splitter.ts";
import type { Direction, Tap, TapEnd } from "./tap.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINKTYPE_RAW = 101;
const MAX_IP_PACKET = 65_535;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const IP_HEADER = 20;
const TCP_HEADER = 20;
const MAX_PAYLOAD = MAX_IP_PACKET - IP_HEADER - TCP_HEADER;
const LOCALHOST = 0x7f000001;
const TCP = 6;
const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
/** Maximum segment size, and a window scale of 14: nobody has to wait for a window that does not exist. */
const SYN_OPTIONS = Buffer.from([2, 4, MAX_PAYLOAD >> 8, MAX_PAYLOAD & 0xff, 3, 3, 14, 0]);
const WINDOW = 0xffff;
/** For stubs that have no port. */
const DEFAULT_PORT = 1234;
const CLIENT_PORT = 50_000;

interface Side {
  readonly port: number;
  /** Of its next byte. */
  sequence: number;
}

export class PcapTap implements Tap {
  readonly #file: RecordFile;
  readonly #client: Side;
  readonly #stub: Side;
  readonly #splitters: Readonly<Record<Direction, Splitter>> = { sent: new Splitter(), received: new Splitter() };
  /** Milliseconds since 1970 at performance.now() = 0. */
  readonly #epoch = performance.timeOrigin;
  #identification = 0;

  /** Writes the file's header and the handshake; `port` is the stub's, undefined for a unix socket. The file is closed at the end. */
  constructor(file: RecordFile, port: number | undefined) {
    this.#file = file;
    this.#stub = { port: port ?? DEFAULT_PORT, sequence: 0 };
    this.#client = { port: this.#stub.port === CLIENT_PORT ? CLIENT_PORT + 1 : CLIENT_PORT, sequence: 0 };
    file.append(fileHeader());
    const now = performance.now();
    this.#segment(this.#client, now, SYN);
    this.#segment(this.#stub, now, SYN | ACK);
    this.#segment(this.#client, now, ACK);
  }

  bytes(direction: Direction, bytes: Uint8Array, time: number): void {
    if (this.#file.closed) return;
    const from = direction === "sent" ? this.#client : this.#stub;
    // A single + goes with the packet after it.
    let ack: Uint8Array | undefined;
    this.#splitters[direction].push(bytes, (kind, piece) => {
      const packet = kind === "packet" || kind === "notification";
      if (ack !== undefined && !packet) this.#data(from, time, ack);
      const waits = kind === "acks" && piece.length === 1;
      if (!waits) this.#data(from, time, ack !== undefined && packet ? Buffer.concat([ack, piece]) : piece);
      ack = waits ? piece : undefined;
    });
    if (ack !== undefined) this.#data(from, time, ack);
  }

  ended(end: TapEnd, time: number): void {
    this.#data(this.#client, time, this.#splitters.sent.rest());
    this.#data(this.#stub, time, this.#splitters.received.rest());
    const [first, second] = end.by === "client" ? [this.#client, this.#stub] : [this.#stub, this.#client];
    if (end.by === "stub" && end.cause !== undefined) {
      this.#segment(first, time, RST | ACK);
    } else {
      this.#segment(first, time, FIN | ACK);
      this.#segment(second, time, FIN | ACK);
      this.#segment(first, time, ACK);
    }
    this.#file.close();
  }

  #data(from: Side, time: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
      this.#segment(from, time, PSH | ACK, bytes.subarray(at, at + MAX_PAYLOAD));
    }
  }

  #segment(from: Side, time: number, flags: number, payload: Uint8Array = EMPTY): void {
    const to = from === this.#client ? this.#stub : this.#client;
    const options = flags & SYN ? SYN_OPTIONS : EMPTY;
    const tcpLength = TCP_HEADER + options.length + payload.length;
    const record = Buffer.alloc(RECORD_HEADER + IP_HEADER + tcpLength);
    recordHeader(record, this.#epoch + time, IP_HEADER + tcpLength);
    const packet = record.subarray(RECORD_HEADER);
    ipHeader(packet, this.#identification++ & 0xffff);
    const segment = packet.subarray(IP_HEADER);
    segment.writeUInt16BE(from.port, 0);
    segment.writeUInt16BE(to.port, 2);
    segment.writeUInt32BE(from.sequence, 4);
    segment.writeUInt32BE(flags & ACK ? to.sequence : 0, 8);
    segment[12] = ((TCP_HEADER + options.length) / 4) << 4;
    segment[13] = flags;
    segment.writeUInt16BE(WINDOW, 14);
    segment.set(options, TCP_HEADER);
    segment.set(payload, TCP_HEADER + options.length);
    segment.writeUInt16BE(checksum(segment, pseudoHeaderSum(tcpLength)), 16);
    from.sequence = (from.sequence + payload.length + (flags & (SYN | FIN) ? 1 : 0)) >>> 0;
    this.#file.append(record);
  }
}

const EMPTY = new Uint8Array(0);

function fileHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER);
  header.writeUInt32LE(MAGIC_MICROSECONDS, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(MAX_IP_PACKET, 16);
  header.writeUInt32LE(LINKTYPE_RAW, 20);
  return header;
}

/** `time` in milliseconds since 1970. */
function recordHeader(record: Buffer, time: number, length: number): void {
  const microseconds = Math.round(time * 1000);
  record.writeUInt32LE(Math.floor(microseconds / 1e6) >>> 0, 0);
  record.writeUInt32LE(microseconds % 1e6, 4);
  record.writeUInt32LE(length, 8);
  record.writeUInt32LE(length, 12);
}

function ipHeader(packet: Buffer, identification: number): void {
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(identification, 4);
  packet.writeUInt16BE(0x4000, 6);
  packet[8] = 64;
  packet[9] = TCP;
  packet.writeUInt32BE(LOCALHOST, 12);
  packet.writeUInt32BE(LOCALHOST, 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, IP_HEADER), 0), 10);
}

/** Of addresses, protocol and length, which a TCP checksum covers too. */
function pseudoHeaderSum(tcpLength: number): number {
  return 2 * ((LOCALHOST >>> 16) + (LOCALHOST & 0xffff)) + TCP + tcpLength;
}

/**
 * RFC 1071: the complement of the ones' complement sum of 16-bit words, high and low bytes added up apart. At most 64 KiB, so that a
 * number holds the sum.
 */
function checksum(bytes: Uint8Array, start: number): number {
  let high = 0;
  let low = 0;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    high += (bytes[i] as number) + (bytes[i + 2] as number);
    low += (bytes[i + 1] as number) + (bytes[i + 3] as number);
  }
  for (let i = whole; i < bytes.length; i++) {
    if (i & 1) low += bytes[i] as number;
    else high += bytes[i] as number;
  }
  let sum = start + high * 0x100 + low;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
