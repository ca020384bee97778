/** Captures for tests of the file format: random ones, a small one, and files put together by hand. */
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { phys } from "../../src/base/address.ts";
import { ERROR_CODES, type ErrorCode } from "../../src/base/error.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../../src/base/registers.ts";
import { type Capture, POINT_KINDS, type Point } from "../../src/snapshot/model.ts";
import { anyBlame } from "./blame-records.ts";
import { slowCrc32 } from "./crc32.ts";

/** The whole capture as text: equal texts, equal captures. Numbers of 64 bits, bytes and maps included. */
export function captureText(capture: Capture): string {
  return JSON.stringify(plain(capture), null, 1);
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Map) {
    const entries = [...(value as Map<bigint, unknown>)].sort(([a], [b]) => (a < b ? -1 : 1));
    return entries.map(([key, each]) => [plain(key), plain(each)]);
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, each]) => [key, plain(each)]));
}

const text = fc.string({ unit: "binary", maxLength: 30 });
const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const errorCode = fc.constantFrom(...(Object.keys(ERROR_CODES) as ErrorCode[]));

const definition: fc.Arbitrary<RegisterDefinition> = fc.record({
  name: text,
  stubName: text,
  number: count,
  bits: fc.constantFrom(1, 8, 32, 33, 64, 128, 2048),
  feature: text,
});

function registerRead(bits: number): fc.Arbitrary<RegisterRead> {
  const length = Math.ceil(bits / 8);
  return fc.oneof(
    fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ state: "present", bytes }) as const),
    fc.constantFrom({ state: "unavailable" } as const, { state: "unreadable" } as const),
  );
}

/** Few contents, so that pages are shared within and between points. */
const pageRead: fc.Arbitrary<MemoryRead> = fc.oneof(
  fc.nat({ max: 5 }).map((fill) => ({ state: "present", bytes: new Uint8Array(4096).fill(fill) }) as const),
  fc.record({ state: fc.constantFrom("absent", "unreadable"), code: errorCode }),
);

const pages = fc
  .uniqueArray(fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }), pageRead), {
    maxLength: 6,
    selector: ([page]) => page,
  })
  .map((entries) => new Map(entries.map(([page, read]) => [phys(page << 12n), read])));

const memoryRange = fc.record({
  start: word.map(phys),
  size: word,
  kind: fc.constantFrom("ram", "rom"),
  name: text,
});

function point(threads: number, registers: readonly RegisterDefinition[]): fc.Arbitrary<Point> {
  const row = fc.tuple(...registers.map(({ bits }) => registerRead(bits)));
  return fc.record({
    id: fc.stringMatching(/^[a-z0-9-]{1,40}$/),
    kind: fc.constantFrom(...POINT_KINDS),
    time: text,
    cpu: fc.nat({ max: threads - 1 }),
    registers: fc.array(row, { minLength: threads, maxLength: threads }),
    memoryRanges: fc.array(memoryRange, { maxLength: 3 }),
    pages,
    images: fc.array(fc.record({ base: word, physical: word, size: word }), { maxLength: 3 }),
    complete: fc.boolean(),
  });
}

const attempt = fc.record({
  imageHandle: word,
  mapKey: word,
  returnAddress: word,
  status: fc.option(word, { nil: undefined }),
});

const memoryMap = fc.record({
  address: word,
  size: word,
  descriptorSize: word,
  descriptorVersion: fc.nat({ max: 0xffff_ffff }),
  mapKey: word,
  caller: word,
});

const symbols = fc.record({
  paths: fc.array(text, { maxLength: 2 }),
  files: fc.array(
    fc.record({
      path: text,
      size: count,
      buildId: fc.option(text, { nil: undefined }),
      image: fc.option(text, { nil: undefined }),
    }),
    { maxLength: 2 },
  ),
});

export const anyCapture: fc.Arbitrary<Capture> = fc
  .tuple(fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(definition, { maxLength: 4 }))
  .chain(([threads, registers]) =>
    fc.record({
      createdAt: text,
      createdBy: text,
      qemuVersion: fc.option(text, { nil: undefined }),
      architecture: text,
      threads: fc.constant(threads),
      registers: fc.constant(registers),
      efi: fc.option(fc.record({ systemTable: word, bootServices: word, exitBootServices: word }), { nil: undefined }),
      attempts: fc.array(attempt, { maxLength: 2 }),
      memoryMap: fc.option(memoryMap, { nil: undefined }),
      symbols: fc.option(symbols, { nil: undefined }),
      points: fc.array(point(threads.length, registers), { maxLength: 3 }),
      notes: fc.array(text, { maxLength: 2 }),
      partial: fc.option(fc.record({ code: errorCode, message: text }), { nil: undefined }),
    }),
  )
  .chain((capture) =>
    fc
      .option(anyBlame(capture.threads.length, capture.points.length), { nil: undefined })
      .map((blame) => ({ ...capture, blame })),
  );

function registers(...values: readonly (bigint | "unavailable" | "unreadable")[]): RegisterRead[] {
  return values.map((value) => {
    if (typeof value !== "bigint") return { state: value };
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return { state: "present", bytes };
  });
}

/** A page that does not deflate to nothing. */
export function noisyPage(seed: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, i) => (i % 97) * seed + (i >> 6));
}

/** Two vCPUs, two points with shared pages, one of everything. */
export function sampleCapture(): Capture {
  const definitions = ["pc", "SCTLR_EL1"].map((name, number) => ({
    name,
    stubName: name,
    number,
    bits: 64,
    feature: "f",
  }));
  const ranges = [{ start: phys(0x4000_0000n), size: 0x800_0000n, kind: "ram", name: "mach-virt.ram" }] as const;
  const present = (seed: number): MemoryRead => ({ state: "present", bytes: noisyPage(seed) });
  const base = { time: "2026-11-22T11:00:00.000Z", cpu: 1, memoryRanges: ranges, images: [], complete: true };
  return {
    createdAt: "2026-11-22T11:00:01.000Z",
    createdBy: "ebscope 0.1.0",
    qemuVersion: "7.2.22",
    architecture: "aarch64",
    threads: ["p1.1", "p1.2"],
    registers: definitions,
    efi: { systemTable: 0x1_3f00_0018n, bootServices: 0x1_3f00_1000n, exitBootServices: 0x1_3e00_2000n },
    attempts: [{ imageHandle: 1n, mapKey: 2n, returnAddress: 0xffff_0000_0000_0004n, status: 0n }],
    memoryMap: {
      ...{ address: 0x4400_0018n, size: 96n, descriptorSize: 48n, descriptorVersion: 1 },
      ...{ mapKey: 2n, caller: 0x4410_0004n },
    },
    points: [
      {
        ...base,
        id: "before",
        kind: "before",
        registers: [registers(0x4000_0000n, 1n), registers("unavailable", "unreadable")],
        pages: new Map<never, MemoryRead>([
          [phys(0x4000_0000n) as never, present(1)],
          [phys(0x4000_1000n) as never, present(2)],
          [phys(0x9000_0000n) as never, { state: "absent", code: "outside-memory" }],
        ]),
      },
      {
        ...base,
        id: "after",
        kind: "after",
        registers: [registers(0x4000_0008n, 0n), registers(0n, 0xffff_ffff_ffff_ffffn)],
        pages: new Map<never, MemoryRead>([
          [phys(0x4000_0000n) as never, present(1)],
          [phys(0x4000_1000n) as never, present(3)],
          [phys(0x4000_2000n) as never, { state: "unreadable", code: "read-failed" }],
        ]),
        images: [{ base: 0xffff_8000_0800_0000n, physical: 0x4020_0000n, size: 0x20_0000n }],
      },
    ],
    notes: ["a note"],
    symbols: {
      paths: ["symbols"],
      files: [{ path: "symbols/a.debug", size: 4096, buildId: "0123abcd", image: "DxeCore" }],
    },
    partial: { code: "timed-out", message: "in the middle" },
  };
}

export interface FileParts {
  readonly version?: number;
  readonly chunks: readonly (readonly [type: string, contents: Uint8Array])[];
}

/** The bytes of an .ebs file, after docs/capture-format.md. */
export function packFile({ version = 1, chunks }: FileParts): Buffer {
  const header = Buffer.from([0x89, 0x45, 0x42, 0x53, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32LE(version, 8);
  const parts = chunks.map(([type, contents]) => {
    const head = Buffer.alloc(12);
    head.write(type, "latin1");
    head.writeUInt32LE(contents.length, 4);
    head.writeUInt32LE(slowCrc32(contents), 8);
    return Buffer.concat([head, contents]);
  });
  return Buffer.concat([header, ...parts]);
}

export function metaChunk(meta: unknown): readonly [string, Uint8Array] {
  return ["META", deflateSync(JSON.stringify(meta))];
}

export function pageChunk(
  contents: readonly Uint8Array[],
  said: number = contents.length,
): readonly [string, Uint8Array] {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(said);
  return ["PAGE", Buffer.concat([head, deflateSync(Buffer.concat(contents))])];
}

export const END_CHUNK = ["END ", new Uint8Array(0)] as const;
