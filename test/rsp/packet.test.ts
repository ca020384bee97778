import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodePacket, type Frame, PacketDecoder } from "../../src/rsp/packet.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const text = (data: Uint8Array): string => Buffer.from(data).toString("latin1");

/** A frame as one line of text; what the tests compare. */
function shown(frame: Frame): string {
  switch (frame.kind) {
    case "packet":
    case "notification":
      return `${frame.kind} ${text(frame.payload)}`;
    case "corrupt":
      return `corrupt ${frame.why}`;
    case "noise":
      return `noise ${text(frame.bytes)}`;
    case "ack":
    case "nak":
      return frame.kind;
  }
}

/** What comes out of chunks. Noise is cut where the chunks are: neighbours are joined. */
function decode(chunks: readonly Uint8Array[], limit?: number): string[] {
  const decoder = limit === undefined ? new PacketDecoder() : new PacketDecoder(limit);
  const lines: string[] = [];
  for (const frame of chunks.flatMap((chunk) => decoder.push(chunk))) {
    const last = lines.at(-1);
    if (frame.kind === "noise" && last?.startsWith("noise ")) lines[lines.length - 1] = last + text(frame.bytes);
    else lines.push(shown(frame));
  }
  return lines;
}

/** Messages on the wire and what they say, written by hand from "Debugging with GDB", appendix E. */
const CORPUS: readonly (readonly [wire: string, ...frames: string[]])[] = [
  ["$#00", "packet "],
  ["$OK#9a", "packet OK"],
  ["$OK#9A", "packet OK"],
  ["+$OK#9a", "ack", "packet OK"],
  ["+-+", "ack", "nak", "ack"],
  ["-$OK#9a-", "nak", "packet OK", "nak"],
  ["$T05thread:01;#07+$m01#ce", "packet T05thread:01;", "ack", "packet m01"],
  ["$OK#9a$#00$E22#a9", "packet OK", "packet ", "packet E22"],
  // A plus, a minus and a percent sign inside a packet are data.
  ["$+-%#7d", "packet +-%"],
  // Escapes: } and the byte xor 0x20. These four are # $ } *.
  ["$}\x03#80", "packet #"],
  ["$}\x04}\x5d}\x0a#e2", "packet $}*"],
  // An escaped # does not end the packet; the bytes 0x23 0x30 0x30 would look like a checksum.
  ["$}\x0300#e0", "packet #00"],
  // Run length: the byte after * less 29 more of the byte before.
  ["$0* #7a", "packet 0000"],
  ['$0*"00#dc', "packet 00000000"],
  ["$x*!y#3c", "packet xxxxxy"],
  ["$a*~#09", `packet ${"a".repeat(98)}`],
  ["$0* 1*!#f6+", "packet 000011111", "ack"],
  // The count may look like an escape: } is 125, 96 more.
  ["$f*}#0d", `packet ${"f".repeat(97)}`],
  // What an escape stands for can be repeated.
  ["$}\x03* #ca", "packet ####"],
  ["%Stop:T05thread:1;#b7", "notification Stop:T05thread:1;"],
  ["$OK#9a%Stop:0* }]#34%#00+", "packet OK", "notification Stop:0000}", "notification ", "ack"],
  // What must not be believed, and that the next packet still is.
  ["$OK#9b$OK#9a", "corrupt checksum", "packet OK"],
  ["$OK#zz$OK#9a", "corrupt checksum", "packet OK"],
  ["$OK# 9$OK#9a", "corrupt checksum", "packet OK"],
  ["%Stop#00$OK#9a", "corrupt checksum", "packet OK"],
  // A $ never stands in a payload: the end of a packet was lost, or a byte became a $. What follows it is not believed either: here the
  // sum is that of "OK", as it would be for what is left of a longer packet, once in 256.
  ["$T05thr$OK#9a$OK#9a", "corrupt checksum", "packet OK"],
  ["$OK\x239a$a$b$E22#a9+", "packet OK", "corrupt checksum", "ack"],
  ["%Stop$OK#9a$E22#a9", "corrupt checksum", "packet E22"],
  ["$$OK#9a$OK#9a", "corrupt checksum", "packet OK"],
  ["$* #4a$OK#9a", "corrupt run-length", "packet OK"],
  ["$0*#5a$OK#9a", "corrupt run-length", "packet OK"],
  // 31 less 29 is a run of two, which nobody may send.
  ["$0*\x1f#79$OK#9a", "corrupt run-length", "packet OK"],
  ["$0}#ad$OK#9a", "corrupt run-length", "packet OK"],
  ["HTTP/1.1 400\r\n$OK#9a#+", "noise HTTP/1.1 400\r\n", "packet OK", "noise #", "ack"],
  ["\x03\xff\x00+", "noise \x03\xff\x00", "ack"],
  ["$\xff\x00\x7f\xfe#7c", "packet \xff\x00\x7f\xfe"],
];

describe("PacketDecoder: messages", () => {
  it.each(CORPUS)("reads %j", (wire, ...frames) => {
    expect(decode([bytes(wire)])).toEqual(frames);
  });

  it.each(CORPUS)("reads %j split at every byte", (wire, ...frames) => {
    for (let cut = 0; cut <= wire.length; cut++) {
      expect(decode([bytes(wire.slice(0, cut)), bytes(wire.slice(cut))]), `cut at ${cut}`).toEqual(frames);
    }
    expect(decode([...wire].map(bytes)), "byte by byte").toEqual(frames);
  });

  it("reads the whole corpus as one stream in chunks of any size", () => {
    const stream = CORPUS.map(([wire]) => wire).join("");
    const frames = CORPUS.flatMap(([, ...rest]) => rest);
    for (let size = 1; size <= stream.length; size++) {
      const chunks = Array.from({ length: Math.ceil(stream.length / size) }, (_, i) =>
        bytes(stream.slice(i * size, (i + 1) * size)),
      );
      expect(decode(chunks), `chunks of ${size}`).toEqual(frames);
    }
  });

  it("says whether it is inside a frame", () => {
    const decoder = new PacketDecoder();
    expect(decoder.midFrame).toBe(false);
    decoder.push(bytes("+$OK#9"));
    expect(decoder.midFrame).toBe(true);
    decoder.push(bytes("a"));
    expect(decoder.midFrame).toBe(false);
  });

  it("gives payloads that later input does not change", () => {
    for (const head of ["", "$OK"]) {
      const decoder = new PacketDecoder();
      decoder.push(bytes(head));
      const [first] = decoder.push(bytes("$OK#9a".slice(head.length)));
      decoder.push(bytes("$E2"));
      decoder.push(bytes("2#a9$E22#a"));
      decoder.push(bytes("9"));
      expect(shown(first as Frame)).toBe("packet OK");
    }
  });
});

describe("PacketDecoder: bounds", () => {
  const LONG: readonly (readonly [wire: string, ...frames: string[]])[] = [
    [`$${"a".repeat(16)}#10$OK#9a`, `packet ${"a".repeat(16)}`, "packet OK"],
    [`$${"a".repeat(17)}#71$OK#9a`, "corrupt too-long", "packet OK"],
    [`$${"a".repeat(500)}#f4+$OK#9a`, "corrupt too-long", "ack", "packet OK"],
    [`%${"a".repeat(500)}#f4$OK#9a`, "corrupt too-long", "packet OK"],
    // Short on the wire, long when expanded.
    ["$0*0#8a$OK#9a", "corrupt run-length", "packet OK"],
    [`$${"b}\x03".repeat(6)}#8c$OK#9a`, "corrupt too-long", "packet OK"],
  ];

  it.each(LONG)("holds a limit of 16 bytes on %j however it is split", (wire, ...frames) => {
    for (let cut = 0; cut <= wire.length; cut++) {
      expect(decode([bytes(wire.slice(0, cut)), bytes(wire.slice(cut))], 16), `cut at ${cut}`).toEqual(frames);
    }
    expect(decode([...wire].map(bytes), 16), "byte by byte").toEqual(frames);
  });

  it("takes the largest reply of any QEMU (0x20020 bytes) unless told otherwise", () => {
    const payload = "0".repeat(0x20020);
    expect(decode([encodePacket(payload)])).toEqual([`packet ${payload}`]);
  });

  it("keeps a packet that never ends from filling memory, and reads on after it", () => {
    const decoder = new PacketDecoder();
    const chunk = Buffer.alloc(1 << 16, "a");
    const kinds: string[] = [];
    decoder.push(bytes("$"));
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 2048; i++) kinds.push(...decoder.push(chunk).map(shown));
    // 128 MiB have gone in; buffers of a few MiB are left, some of them garbage not yet collected.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 << 20);
    expect(kinds).toEqual(["corrupt too-long"]);
    expect(decoder.midFrame).toBe(true);
    expect(decoder.push(bytes("#00$OK#9a")).map(shown)).toEqual(["packet OK"]);
  });

  it("reads a mebibyte that comes byte by byte in linear time", () => {
    const decoder = new PacketDecoder();
    const wire = encodePacket("0".repeat(1 << 20));
    const started = performance.now();
    const frames: Frame[] = [];
    for (let i = 0; i < wire.length; i++) frames.push(...decoder.push(wire.subarray(i, i + 1)));
    expect(frames.map(({ kind }) => kind)).toEqual(["packet"]);
    // Some 0.2 s; looking for the end from the start each time would take minutes.
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("encodePacket", () => {
  it.each([
    ["", "$#00"],
    ["OK", "$OK#9a"],
    ["g", "$g#67"],
    ["\xff\x01", "$\xff\x01#00"],
    ["#", "$}\x03#80"],
    ["$}*", "$}\x04}\x5d}\x0a#e2"],
    ["X0,1:}", "$X0,1:}\x5d#f9"],
  ])("writes %j as %j", (payload, wire) => {
    expect(text(encodePacket(payload))).toBe(wire);
    expect(text(encodePacket(bytes(payload)))).toBe(wire);
  });
});

/** Bytes that mean something to the protocol, to get deep into it. */
const meaningful = fc.array(fc.constantFrom(...bytes("$$##%+-*}0a9f \x03~")), { maxLength: 120 }).map(Buffer.from);
const anything = fc.oneof(fc.uint8Array({ maxLength: 200 }), meaningful);
const cuts = fc.array(fc.nat(200), { maxLength: 12 });

function cutAt(data: Uint8Array, places: readonly number[]): Uint8Array[] {
  const edges = [0, ...places.map((place) => Math.min(place, data.length)).sort((a, b) => a - b), data.length];
  return edges.slice(1).map((edge, i) => data.subarray(edges[i], edge));
}

describe("properties", () => {
  it("any bytes give the same frames however they are cut, and never an exception", () => {
    fc.assert(
      fc.property(anything, cuts, fc.constantFrom(8, 16, 1 << 20), (data, places, limit) => {
        expect(decode(cutAt(data, places), limit)).toEqual(decode([data], limit));
      }),
      { numRuns: 3000 },
    );
  });

  it("no frame is longer than the limit", () => {
    fc.assert(
      fc.property(meaningful, fc.integer({ min: 1, max: 40 }), (data, limit) => {
        for (const frame of new PacketDecoder(limit).push(data)) {
          if (frame.kind === "packet") expect(frame.payload.length).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("what was encoded comes back as it was, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 4 }), cuts, (payloads, places) => {
        const stream = Buffer.concat(payloads.map((payload) => encodePacket(payload)));
        expect(decode(cutAt(stream, places))).toEqual(payloads.map((payload) => `packet ${text(payload)}`));
      }),
      { numRuns: 2000 },
    );
  });
});
