import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PcapTap } from "../../src/rsp/pcap.ts";
import { RecordFile } from "../../src/rsp/record-file.ts";
import type { Direction, TapEnd } from "../../src/rsp/tap.ts";
import { temporaryFile } from "../support/transcript-text.ts";

type Chunk = readonly [direction: Direction, bytes: string, time?: number];

function captured(chunks: readonly Chunk[], end: TapEnd | undefined, port: number | undefined = 9000): Segment[] {
  using file = temporaryFile();
  const record = new RecordFile(file.path, (error) => {
    throw error;
  });
  const tap = new PcapTap(record, port);
  for (const [direction, chunk, time] of chunks) {
    const lent = Buffer.from(chunk, "latin1");
    tap.bytes(direction, lent, time ?? performance.now());
    lent.fill(0xee);
  }
  if (end === undefined) record.close();
  else tap.ended(end, performance.now());
  return readPcap(file.bytes());
}

interface Segment {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: string;
  readonly payload: string;
}

/** Sum of 16-bit words with the carry brought round, as RFC 1071 has it; 0xffff over anything that holds its own checksum. */
function onesSum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] as number) * 256 + (bytes[i + 1] ?? 0);
    if (sum >= 0x10000) sum -= 0xffff;
  }
  return sum;
}

/** A pcap of raw IPv4 with TCP, every length and checksum of it checked. */
function readPcap(file: Buffer): Segment[] {
  expect(file.subarray(0, 4).toString("hex")).toBe("d4c3b2a1");
  expect([file.readUInt16LE(4), file.readUInt16LE(6), file.readUInt32LE(20)]).toEqual([2, 4, 101]);
  const longest = file.readUInt32LE(16);
  const segments: Segment[] = [];
  let at = 24;
  while (at < file.length) {
    const [seconds, microseconds, kept, length] = [0, 4, 8, 12].map((offset) => file.readUInt32LE(at + offset)) as [
      number,
      number,
      number,
      number,
    ];
    expect(microseconds).toBeLessThan(1_000_000);
    expect(kept).toBe(length);
    expect(kept).toBeLessThanOrEqual(longest);
    at += 16;
    segments.push(readPacket(file.subarray(at, at + kept), seconds * 1000 + microseconds / 1000));
    at += kept;
  }
  expect(at).toBe(file.length);
  return segments;
}

function readPacket(packet: Buffer, time: number): Segment {
  expect(packet[0]).toBe(0x45);
  expect(packet.readUInt16BE(2)).toBe(packet.length);
  expect(packet[9]).toBe(6);
  expect(packet.subarray(12, 20).toString("hex")).toBe("7f0000017f000001");
  expect(onesSum(packet.subarray(0, 20))).toBe(0xffff);
  const tcp = packet.subarray(20);
  const pseudo = Buffer.from([...packet.subarray(12, 20), 0, 6, tcp.length >> 8, tcp.length & 0xff]);
  expect(onesSum(Buffer.concat([pseudo, tcp]))).toBe(0xffff);
  const flags = [..."FSRPAU"].filter((_, bit) => (tcp[13] as number) & (1 << bit)).join("");
  return {
    time,
    from: tcp.readUInt16BE(0),
    to: tcp.readUInt16BE(2),
    sequence: tcp.readUInt32BE(4),
    acknowledged: tcp.readUInt32BE(8),
    flags,
    payload: tcp.subarray(((tcp[12] as number) >> 4) * 4).toString("latin1"),
  };
}

/** The bytes that a side sent, every sequence number followed; `other` must have acknowledged none that were not sent. */
function stream(segments: readonly Segment[], port: number): string {
  let next = segments.find(({ from }) => from === port)?.sequence ?? 0;
  let text = "";
  for (const segment of segments) {
    if (segment.from !== port) {
      if (segment.flags.includes("A")) expect(segment.acknowledged).toBe(next);
      continue;
    }
    expect(segment.sequence).toBe(next);
    next += segment.payload.length + (/[SF]/.test(segment.flags) ? 1 : 0);
    text += segment.payload;
  }
  return text;
}

const CLOSED: TapEnd = { by: "client" };
const data = (segments: readonly Segment[]): string[] =>
  segments.flatMap(({ payload }) => (payload === "" ? [] : [payload]));

describe("a pcap", () => {
  it("is a TCP connection from its handshake to its end", () => {
    const segments = captured(
      [
        ["sent", "$?#3f"],
        ["received", "+$S05#b8"],
      ],
      CLOSED,
    );
    expect(segments.map(({ from, flags, payload }) => [from, flags, payload])).toEqual([
      [50_000, "S", ""],
      [9000, "SA", ""],
      [50_000, "A", ""],
      [50_000, "PA", "$?#3f"],
      [9000, "PA", "+$S05#b8"],
      [50_000, "FA", ""],
      [9000, "FA", ""],
      [50_000, "A", ""],
    ]);
    expect([stream(segments, 50_000), stream(segments, 9000)]).toEqual(["$?#3f", "+$S05#b8"]);
  });

  it("ends as the session ended", () => {
    const ending = (end: TapEnd) =>
      captured([], end)
        .slice(3)
        .map(({ from, flags }) => `${from} ${flags}`);
    expect(ending({ by: "stub", cause: undefined })).toEqual(["9000 FA", "50000 FA", "9000 A"]);
    expect(ending({ by: "stub", cause: new Error("ECONNRESET") })).toEqual(["9000 RA"]);
    expect(captured([["received", "$cut"]], undefined)).toHaveLength(3);
    expect(data(captured([["received", "$cut"]], CLOSED))).toEqual(["$cut"]);
  });

  it("has port 1234 for a stub without one, and never the same port twice", () => {
    using file = temporaryFile();
    new PcapTap(new RecordFile(file.path, () => undefined), undefined).ended(CLOSED, performance.now());
    expect(readPcap(file.bytes())[0]).toMatchObject({ from: 50_000, to: 1234 });
    expect(captured([], CLOSED, 50_000)[0]).toMatchObject({ from: 50_001, to: 50_000 });
  });

  it("gives each packet a segment, a single acknowledgement with it", () => {
    const segments = captured(
      [
        ["sent", "$a#61$b#62+"],
        ["sent", "+$c#63"],
        ["sent", "++$d#64"],
        ["received", "++-%n#6e\x03+"],
      ],
      CLOSED,
    );
    expect(data(segments)).toEqual(["$a#61", "$b#62", "+", "+$c#63", "++", "$d#64", "++", "-", "%n#6e", "\x03", "+"]);
  });

  it("cuts what is longer than an IP packet can be", () => {
    const packet = `$${"0".repeat(200_001)}#00`;
    const segments = captured([["received", packet]], CLOSED);
    expect(stream(segments, 9000)).toBe(packet);
    expect(data(segments).map(({ length }) => length)).toEqual([65_495, 65_495, 65_495, 200_005 - 3 * 65_495]);
  });

  it("has the times of the session", () => {
    const now = performance.now();
    const segments = captured(
      [
        ["sent", "+", now],
        ["sent", "+", now + 1.5],
        ["sent", "+", now + 61_001],
      ],
      undefined,
    );
    const [first = 0, second = 0, third = 0] = segments.slice(3).map(({ time }) => time);
    expect(Math.abs(first - Date.now())).toBeLessThan(60_000);
    expect(second - first).toBeCloseTo(1.5, 2);
    expect(third - first).toBeCloseTo(61_001, 2);
  });

  it("holds every byte of any session, in valid segments", () => {
    const bytes = fc
      .array(fc.oneof(fc.constantFrom("$", "#", "+", "-", "%", "\x03", "$OK#9a"), fc.string({ unit: "binary-ascii" })))
      .map((parts) => parts.join(""));
    const chunk = fc.tuple(fc.constantFrom<Direction>("sent", "received"), bytes);
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 10 }), (chunks) => {
        const segments = captured(chunks, CLOSED);
        const all = (wanted: Direction) =>
          chunks.flatMap(([direction, each]) => (direction === wanted ? [each] : [])).join("");
        expect(stream(segments, 50_000)).toBe(all("sent"));
        expect(stream(segments, 9000)).toBe(all("received"));
      }),
      { numRuns: 100 },
    );
  });
});
