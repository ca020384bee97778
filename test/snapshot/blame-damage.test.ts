/** Records of writes that were tampered with, their checksums mended: read or refused, in bounded time, and never half right. */
import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import type { BlameRecord } from "../../src/snapshot/blame.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import { sampleBlame } from "../support/blame-records.ts";
import { packFile, sampleCapture } from "../support/captures.ts";
import { Random } from "../support/random.ts";
import { chunksOf } from "./blame-reader.ts";

const FILE = Buffer.from(encodeCapture({ ...sampleCapture(), blame: sampleBlame() }));
const CHUNKS = chunksOf(FILE);
const BLAM = CHUNKS.get("BLAM") as Buffer;
const HEADER = BLAM.subarray(0, 28);
const BLOCK = inflateSync(BLAM.subarray(28));
const EVENTS = sampleBlame().events.length;
const STACKS = sampleBlame().stacks.length;
/** Where a column begins in the block: docs/capture-format.md. */
const COLUMN = {
  kind: 0,
  parts: 1,
  cpu: 2,
  stop: 4,
  word: 10,
  stack: 14,
  pc: 18,
  address: 26,
  old: 34,
  new: 42,
} as const;
const COUNTS = EVENTS * 50 + STACKS * 32;
const WORDS = EVENTS * 50 + STACKS * 34;
const CONTENTS = WORDS + 4 * 8 + 2 * 12;
const CODE = CONTENTS + 2 * 4;
const JSON_AT = CODE + 2 * 12;

function fileWith(blam: Uint8Array): Buffer {
  return packFile({ chunks: [...CHUNKS].map(([type, each]) => [type, type === "BLAM" ? blam : each]) });
}

/** The file with another block, and perhaps other counts. */
function packed(block: Uint8Array, header: Uint8Array = HEADER): Buffer {
  return fileWith(Buffer.concat([header, deflateSync(block)]));
}

/** The file with the bytes of the block changed. */
function changed(change: (block: Buffer) => void): Buffer {
  const block = Buffer.from(BLOCK);
  change(block);
  return packed(block);
}

function withBytes(at: number, ...values: readonly number[]): Buffer {
  return changed((block) => block.set(values, at));
}

/** The file with one byte of one event changed: the lowest one of the column, unless told otherwise. */
function withEvent(row: number, column: keyof typeof COLUMN, value: number, byte = 0): Buffer {
  return withBytes((COLUMN[column] + byte) * EVENTS + row, value);
}

function withJson(change: (json: Record<string, unknown>) => void): Buffer {
  const json = JSON.parse(BLOCK.toString("utf8", JSON_AT));
  change(json);
  return withText(JSON.stringify(json));
}

function withText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return packed(Buffer.concat([BLOCK.subarray(0, JSON_AT), bytes]), counted(6, bytes.length));
}

/** The counts with one of them changed. */
function counted(index: number, count: number): Buffer {
  const header = Buffer.from(HEADER);
  header.writeUInt32LE(count, index * 4);
  return header;
}

function read(file: Uint8Array): BlameRecord | EbscopeError {
  try {
    const { blame } = decodeCapture(file, "x.ebs");
    return blame ?? new EbscopeError("internal", "no record");
  } catch (error) {
    if (error instanceof EbscopeError) return error;
    throw error;
  }
}

function rowOf(kind: string): number {
  return sampleBlame().events.findIndex((event) => event.kind === kind);
}

describe("a record that does not fit", () => {
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ["an event of the kind 11", withEvent(1, "kind", 11), "has an event of no known kind"],
    ["an event with a part of no name", withEvent(1, "parts", 32), "has an event of no known kind"],
    ["a vCPU of three", withEvent(1, "cpu", 2), "refers to a vCPU that is not there"],
    ["a vCPU beyond 255", withEvent(1, "cpu", 1, 1), "refers to a vCPU that is not there"],
    ["a third stack", withEvent(1, "stack", 2), "refers to a stack that is not there"],
    ["a third point", withEvent(0, "address", 2), "refers to a point that is not there"],
    ["a point of 2^63", withEvent(0, "address", 0x80, 7), "refers to a point that is not there"],
    ["a third note", withEvent(rowOf("lapse"), "address", 2), "refers to a note that is not there"],
    ["a third table", withEvent(rowOf("table-found"), "new", 2), "refers to a table that is not there"],
    ["a stack with words of another", withBytes(COUNTS, 2), "has a stack that does not fit its words"],
    ["a stack with an odd word", withBytes(COUNTS + 1, 3), "has a stack that does not fit its words"],
    ["a stack of 514 words", withBytes(COUNTS + 1, 2, 2), "has a stack that does not fit its words"],
    ["words of no stack", withBytes(COUNTS + 1, 2), "has words of no stack"],
    ["contents that are no page", withBytes(CONTENTS, 99), "refers to a page that is not there"],
    ["code that is no page", withBytes(CODE + 16, 99), "refers to a page that is not there"],
    ["two pages of code at one address", withBytes(CODE, ...Array(16).fill(0)), "has two pages of code at one address"],
    ["a byte too few", packed(BLOCK.subarray(0, -1)), "is incomplete"],
    ["a byte too many", packed(Buffer.concat([BLOCK, Buffer.of(32)])), "is unreadable"],
    ["27 bytes", fileWith(BLAM.subarray(0, 27)), "is incomplete"],
    ["nothing", fileWith(Buffer.alloc(0)), "is incomplete"],
    ["a block that is not deflated", fileWith(Buffer.concat([HEADER, BLOCK])), "is unreadable"],
    ["no block", fileWith(HEADER), "is unreadable"],
    ["a description that is no JSON", withText("{"), "has an unreadable description"],
    ["a description that is a list", withText("[]"), "has a wrong description"],
    ["no notes", withJson((json) => delete json.notes), "has a wrong description"],
    ["a note of 4,097 characters", withJson((json) => (json.notes = ["x".repeat(4097)])), "has a wrong description"],
    ["1,025 notes", withJson((json) => (json.notes = Array(1025).fill(""))), "has a wrong description"],
    [
      "65 ranges",
      withJson((json) => (json.ranges = Array(65).fill({ name: "", address: "0x0", length: 0 }))),
      "has a wrong description",
    ],
    [
      "a range at a number",
      withJson((json) => (json.ranges = [{ name: "", address: 0, length: 0 }])),
      "has a wrong description",
    ],
    [
      "a range of a negative length",
      withJson((json) => (json.ranges = [{ name: "", address: "0x0", length: -1 }])),
      "has a wrong description",
    ],
    ["a negative number of events left out", withJson((json) => (json.uncounted = -1)), "has a wrong description"],
    ["tables that are perhaps watched", withJson((json) => (json.tables = null)), "has a wrong description"],
  ];

  it.each(cases)("is refused: %s", (_, file, why) => {
    expect(read(file)).toMatchObject({
      code: "capture-corrupt",
      message: `Cannot read x.ebs: its record of writes ${why}`,
    });
  });

  it("is read whatever else its description says", () => {
    expect(read(withJson((json) => (json.more = "than is known")))).toMatchObject({ uncounted: 12 });
  });

  const most = [2 ** 22, 2 ** 16, 2 ** 23, 2 ** 16, 2 ** 16, 2 ** 14, 26_804_224];
  const names = ["events", "stacks", "words", "sites", "contents", "code", "meta"];

  it.each(names.map((name, i) => [name, i] as const))(
    "is refused with more %s than there may be, by their number alone",
    (name, i) => {
      const more = read(fileWith(Buffer.concat([counted(i, (most[i] as number) + 1), Buffer.from("?")])));
      expect(more).toMatchObject({
        code: "capture-corrupt",
        message: expect.stringContaining(`has more ${name} than there may be`),
      });
      const just = read(fileWith(Buffer.concat([counted(i, most[i] as number), Buffer.from("?")])));
      expect(just).toMatchObject({ code: "capture-corrupt", message: expect.stringContaining("is unreadable") });
    },
  );

  it("is refused when it would unpack to more than its counts say", () => {
    const bomb = Buffer.concat([HEADER, deflateSync(Buffer.alloc(64 << 20))]);
    const tooLarge = { code: "capture-corrupt", cause: expect.objectContaining({ code: "ERR_BUFFER_TOO_LARGE" }) };
    expect(read(fileWith(bomb))).toMatchObject(tooLarge);
  });
});

const ODD = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff];

/** Ways to tamper; each gives a whole file. */
const TAMPERED: Readonly<Record<string, (random: Random) => Buffer>> = {
  "a few bytes of the block": (random) =>
    changed((block) => {
      for (let i = random.between(1, 4); i > 0; i--)
        block[random.below(block.length)] = random.pick([...ODD, random.below(256)]);
    }),
  "a bit of an event": (random) =>
    changed((block) => {
      const at = random.below(EVENTS * 50);
      block[at] = (block[at] as number) ^ (1 << random.below(8));
    }),
  "a count": (random) => {
    const index = random.below(7);
    const near = Math.max(HEADER.readUInt32LE(index * 4) + random.between(-3, 3), 0);
    const header = counted(index, random.pick([near, random.below(1 << 16), 1 << random.below(31), random.next()]));
    return fileWith(Buffer.concat([header, BLAM.subarray(28)]));
  },
  "counts with a block of their length": (random) => {
    const words = random.chance(0.8) ? 0 : random.below(6);
    const counts = [random.below(6), random.below(6), words, random.below(6), random.below(6), random.below(3)];
    const [e, s, w, i, t, c] = counts as [number, number, number, number, number, number];
    const json = BLOCK.subarray(JSON_AT);
    const columns = Buffer.alloc(50 * e + 34 * s + 8 * w + 12 * i + 4 * t + 12 * c);
    for (let at = 0; at < columns.length; at++) columns[at] = random.chance(0.97) ? 0 : random.below(4);
    const header = Buffer.alloc(28);
    for (const [at, count] of [...counts, json.length].entries()) header.writeUInt32LE(count, at * 4);
    return packed(Buffer.concat([columns, json]), header);
  },
  "deflated bytes": (random) => {
    const blam = Buffer.from(BLAM);
    const at = random.between(28, blam.length - 1);
    blam[at] = (blam[at] as number) ^ random.between(1, 255);
    return fileWith(blam);
  },
  "a cut part": (random) => fileWith(BLAM.subarray(0, random.below(BLAM.length))),
  "a cut file": (random) => FILE.subarray(0, random.between(1, FILE.length - 1)),
  "a made-up length of the part": (random) => {
    const file = Buffer.from(FILE);
    const at = file.indexOf("BLAM", 0, "latin1") + 4;
    const near = Math.max(BLAM.length + random.between(-20, 20), 0);
    file.writeUInt32LE(random.pick([near, random.below(1 << 16), random.next()]), at);
    return file;
  },
};

/** What must be read now and then: damage after which nothing ever is shows little. */
const READABLE = ["a few bytes of the block", "a bit of an event", "a count", "counts with a block of their length"];

/** Whether all that a record refers to is there, and nothing is larger than it may be. */
function isSound(blame: BlameRecord): boolean {
  const below = (index: bigint | number, count: number): boolean => index >= 0 && index < count;
  return (
    blame.events.every((event) => {
      const { kind, cpu, stack, address } = event;
      if (!below(cpu, 2) || (stack !== undefined && !below(stack, blame.stacks.length))) return false;
      if (kind === "point") return below(address, 2);
      if (kind === "lapse") return below(address, blame.notes.length);
      return kind !== "table-found" || event.new === undefined || below(event.new, blame.contents.length);
    }) &&
    blame.stacks.every(({ words }) => words.length <= 512 && words.length % 2 === 0) &&
    [...blame.contents, ...blame.code.values()].every((page) => page.length === 4096)
  );
}

describe("2,000 records that were tampered with", () => {
  const ways = Object.keys(TAMPERED);

  it.each(ways)("are read soundly or refused, each in less than a second: %s", (way) => {
    const random = new Random(ways.indexOf(way) + 1);
    const seen = new Map<string, number>();
    let slowest = 0;
    for (let round = 0; round < 2000 / ways.length; round++) {
      const file = TAMPERED[way]?.(random) as Buffer;
      const started = performance.now();
      const result = read(file);
      slowest = Math.max(slowest, performance.now() - started);
      const outcome =
        result instanceof EbscopeError ? result.code : isSound(result) ? "read" : `unsound in round ${round}`;
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    const known = ["read", "capture-corrupt", "capture-truncated"];
    expect([...seen.keys()].filter((outcome) => !known.includes(outcome))).toEqual([]);
    const [fewest, reads, refusals] = [10, seen.get("read") ?? 0, seen.get("capture-corrupt") ?? 0];
    if (READABLE.includes(way)) expect(reads).toBeGreaterThan(fewest);
    expect(refusals + (seen.get("capture-truncated") ?? 0)).toBeGreaterThan(fewest);
    expect(slowest).toBeLessThan(1000);
  });
});
