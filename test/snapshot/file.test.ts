import { readFileSync } from "node:fs";
import { constants, deflateRawSync, inflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { EbscopeError, type ErrorCode } from "../../src/base/error.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import {
  anyCapture,
  captureText,
  END_CHUNK,
  type FileParts,
  metaChunk,
  noisyPage,
  packFile,
  pageChunk,
  sampleCapture,
} from "../support/captures.ts";
import { Random } from "../support/random.ts";

vi.setConfig({ testTimeout: 120_000 });

function decode(bytes: Uint8Array): Capture {
  return decodeCapture(bytes, "x.ebs");
}

/** The EbscopeError that decoding ends with, its text if it is another, undefined if there is none. */
function failure(bytes: Uint8Array): EbscopeError | string | undefined {
  try {
    decode(bytes);
    return undefined;
  } catch (error) {
    return error instanceof EbscopeError ? error : `not an EbscopeError: ${error}`;
  }
}

function codeOf(bytes: Uint8Array): ErrorCode | string | undefined {
  const error = failure(bytes);
  return error instanceof EbscopeError ? error.code : error;
}

describe("a capture file", () => {
  it("holds any capture whole", () => {
    const property = fc.property(
      anyCapture,
      (capture) => captureText(decode(encodeCapture(capture))) === captureText(capture),
    );
    fc.assert(property, { seed: 1, numRuns: 100 });
  });

  it("is read wherever it stands in its buffer", () => {
    const capture = sampleCapture();
    const file = encodeCapture(capture);
    const shifted = new Uint8Array(file.length + 3);
    shifted.set(file, 3);
    expect(captureText(decode(shifted.subarray(3)))).toBe(captureText(capture));
  });

  it("holds pages of the same content once, within a point and between points", () => {
    // Two points of two present pages each; the first page of both is the same.
    const { pages } = partsOf(sampleCapture());
    expect(Buffer.from(pages[1]).readUInt32LE(0)).toBe(3);
    expect(inflateSync(pages[1].subarray(4))).toHaveLength(3 * 4096);
  });

  it("starts with the eight bytes and the version that docs/capture-format.md names", () => {
    const file = Buffer.from(encodeCapture(sampleCapture()));
    expect(file.subarray(0, 16).toString("hex")).toBe(`894542530d0a1a0a${"01000000"}${"00000000"}`);
    expect(file.toString("latin1", 16, 20)).toBe("META");
    expect(file.subarray(-12).toString("hex")).toBe("454e4420" + "00000000" + "00000000");
  });

  it("cuts notes and messages that are longer than a reader takes", () => {
    const long = "ü".repeat(5000);
    const capture = { ...sampleCapture(), notes: [long], partial: { code: "guest-ended", message: long } } as const;
    const read = decode(encodeCapture(capture));
    expect(read.notes[0]).toBe(long.slice(0, 4096));
    expect(read.partial?.message).toBe(long.slice(0, 4096));
  });

  it("cuts what it says of symbols to what a reader takes", () => {
    const file = { path: "p".repeat(5000), size: 1, buildId: "0".repeat(5000), image: "i".repeat(5000) };
    const symbols = { paths: Array.from({ length: 70 }, () => "q".repeat(5000)), files: Array(1100).fill(file) };
    const read = decode(encodeCapture({ ...sampleCapture(), symbols })).symbols;
    expect(read?.paths).toEqual(Array.from({ length: 64 }, () => "q".repeat(4096)));
    expect(read?.files).toHaveLength(1024);
    const cut = { path: "p".repeat(4096), size: 1, buildId: "0".repeat(4096), image: "i".repeat(4096) };
    expect(read?.files[1023]).toEqual(cut);
  });

  it("of version 1's first days has no memory map, no symbols and no images beside the firmware's", () => {
    const { json, pages } = partsOf(sampleCapture());
    delete json.memoryMap;
    delete json.symbols;
    for (const point of json.points) delete point.images;
    const read = decode(packFile({ chunks: [metaChunk(json), pages, END_CHUNK] }));
    const points = sampleCapture().points.map((point) => ({ ...point, images: [] }));
    const old = { ...sampleCapture(), memoryMap: undefined, symbols: undefined, points };
    expect(captureText(read)).toBe(captureText(old));
  });

  it("of those days is the fixture, of a real guest", () => {
    const read = decode(readFileSync(new URL("../fixtures/boot-service.ebs", import.meta.url)));
    expect(read.points.map(({ id, images }) => [id, images])).toEqual([
      ["before", []],
      ["after", []],
      ["fault", []],
    ]);
    expect(read.points.every(({ pages }) => pages.size > 0)).toBe(true);
    expect(read.blame).toBeUndefined();
  });

  it("is read over parts of kinds that are not known", () => {
    const { meta, pages } = partsOf(sampleCapture());
    const chunks = [["JUNK", Buffer.from("?")], meta, ["junk", Buffer.alloc(9)], pages, END_CHUNK] as const;
    expect(captureText(decode(packFile({ chunks })))).toBe(captureText(sampleCapture()));
  });

  it("takes codes of a newer ebscope for read-failed", () => {
    const { json, pages } = partsOf(sampleCapture());
    json.points[0].codes = ["eaten-by-dragon"];
    json.partial.code = "eaten-by-dragon";
    const read = decode(packFile({ chunks: [metaChunk(json), pages, END_CHUNK] }));
    expect(read.partial?.code).toBe("read-failed");
    expect([...(read.points[0]?.pages.values() ?? [])]).toContainEqual({ state: "absent", code: "read-failed" });
  });
});

interface Parts {
  readonly meta: readonly [string, Uint8Array];
  readonly pages: readonly [string, Uint8Array];
  // biome-ignore lint/suspicious/noExplicitAny: the tests break it in every way there is
  readonly json: any;
}

/** The chunks of a capture, and its description as JSON. */
function partsOf(capture: Capture): Parts {
  const file = Buffer.from(encodeCapture(capture));
  const chunkAt = (at: number): Buffer => file.subarray(at + 12, at + 12 + file.readUInt32LE(at + 4));
  const meta = chunkAt(16);
  const pages = chunkAt(16 + 12 + meta.length);
  return { meta: ["META", meta], pages: ["PAGE", pages], json: JSON.parse(inflateSync(meta).toString()) };
}

describe("a file that ends early", () => {
  it("is truncated at every length but 0, which is no capture", () => {
    const file = encodeCapture(sampleCapture());
    const codes = Array.from({ length: file.length }, (_, length) => codeOf(file.subarray(0, length)));
    expect(codes[0]).toBe("not-a-capture");
    expect(new Set(codes.slice(1))).toEqual(new Set(["capture-truncated"]));
    expect(codeOf(file)).toBeUndefined();
  });

  it("is truncated without its END", () => {
    const { meta, pages } = partsOf(sampleCapture());
    expect(codeOf(packFile({ chunks: [meta, pages] }))).toBe("capture-truncated");
  });
});

describe("a file with damage", () => {
  it("is refused, or the damage lies where nothing is told: 5,000 changed bytes", () => {
    const file = encodeCapture(sampleCapture());
    const whole = captureText(sampleCapture());
    const random = new Random(5);
    const codes = new Map<string, number>();
    for (let i = 0; i < 5000; i++) {
      const copy = Uint8Array.from(file);
      const at = i < file.length ? i : random.below(file.length);
      copy[at] = (copy[at] as number) ^ random.between(1, 255);
      const code = codeOf(copy) ?? (captureText(decode(copy)) === whole ? "whole" : "another capture");
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    const known = ["whole", "not-a-capture", "capture-truncated", "capture-corrupt", "capture-newer"];
    expect([...codes.keys()].filter((code) => !known.includes(code))).toEqual([]);
    expect(codes.get("capture-corrupt")).toBeGreaterThan(1000);
    // The four bytes of flags, of which nothing is made.
    expect(codes.get("whole") ?? 0).toBeLessThan(50);
  });

  it("is refused where a checksum is wrong, and the part is named", () => {
    const file = Buffer.from(encodeCapture(sampleCapture()));
    file[40] = (file[40] as number) ^ 1;
    expect(failure(file)).toMatchObject({ code: "capture-corrupt", message: expect.stringContaining("META") });
  });

  it.each([
    ["META", (parts: Parts) => [parts.pages, END_CHUNK]],
    ["PAGE", (parts: Parts) => [parts.meta, END_CHUNK]],
  ])("is refused without its part %s", (type, chunks) => {
    const error = failure(packFile({ chunks: chunks(partsOf(sampleCapture())) }));
    expect(error).toMatchObject({ code: "capture-corrupt", message: expect.stringContaining(type) });
  });

  it("is no capture with other first bytes", () => {
    for (const text of ["", "hello, world, this is long", "\x7fELF", "\x89EBS\n\x1a\n", "\x89PNG\r\n\x1a\n"]) {
      expect(codeOf(Buffer.from(text, "latin1"))).toBe("not-a-capture");
    }
  });

  it("keeps control characters of its name out of the message", () => {
    const error = (() => {
      try {
        return decodeCapture(Buffer.from("?"), "\x1b[31m.ebs");
      } catch (cause) {
        return cause as Error;
      }
    })();
    expect((error as Error).message).toBe("Cannot read \\x1b[31m.ebs: it is no ebscope capture");
  });
});

describe("a file of another version", () => {
  it("is newer, whatever else stands in it", () => {
    expect(codeOf(packFile({ version: 2, chunks: [] }))).toBe("capture-newer");
    expect(codeOf(packFile({ version: 0xffff_ffff, chunks: [["????", Buffer.from("?")]] }))).toBe("capture-newer");
  });

  it("is corrupt when there never was such a version", () => {
    expect(codeOf(packFile({ version: 0, chunks: [] }))).toBe("capture-corrupt");
  });
});

/** Deflated zeros or blanks of any length, made of one piece many times over. */
function bomb(fill: number, mebibytes: number): Buffer {
  const piece = deflateRawSync(Buffer.alloc(1 << 20, fill), { finishFlush: constants.Z_FULL_FLUSH });
  return Buffer.concat([Buffer.of(0x78, 0x9c), ...Array.from({ length: mebibytes }, () => piece)]);
}

describe("a file that would unpack to more than it says", () => {
  const tooLarge = { code: "capture-corrupt", cause: expect.objectContaining({ code: "ERR_BUFFER_TOO_LARGE" }) };

  it("is refused at the number of pages that it names", () => {
    const { meta } = partsOf(sampleCapture());
    const head = Buffer.alloc(4);
    head.writeUInt32LE(3);
    const chunks: FileParts["chunks"] = [meta, ["PAGE", Buffer.concat([head, bomb(0, 64)])], END_CHUNK];
    expect(failure(packFile({ chunks }))).toMatchObject(tooLarge);
  });

  it("is refused when it names more pages than any capture has", () => {
    const { meta } = partsOf(sampleCapture());
    const error = failure(packFile({ chunks: [meta, pageChunk([], 2 ** 18 + 1), END_CHUNK] }));
    expect(error).toMatchObject({ code: "capture-corrupt", message: expect.stringContaining("number of pages") });
  });

  it("is refused at 256 MiB of description", () => {
    const { pages } = partsOf(sampleCapture());
    const file = packFile({ chunks: [["META", bomb(0x20, 258)], pages, END_CHUNK] });
    expect(file.length).toBeLessThan(1 << 20);
    expect(failure(file)).toMatchObject(tooLarge);
  });

  it("is refused when it has fewer pages than it names", () => {
    const { meta } = partsOf(sampleCapture());
    const error = failure(packFile({ chunks: [meta, pageChunk([noisyPage(1)], 3), END_CHUNK] }));
    expect(error).toMatchObject({ code: "capture-corrupt", message: expect.stringContaining("incomplete") });
  });

  it("is refused when its pages or its description are not deflated", () => {
    const { meta, pages } = partsOf(sampleCapture());
    const junk = Buffer.alloc(40, 0x55);
    expect(codeOf(packFile({ chunks: [meta, ["PAGE", Buffer.alloc(4)], END_CHUNK] }))).toBe("capture-corrupt");
    expect(codeOf(packFile({ chunks: [meta, ["PAGE", Buffer.alloc(3)], END_CHUNK] }))).toBe("capture-corrupt");
    expect(codeOf(packFile({ chunks: [["META", junk], pages, END_CHUNK] }))).toBe("capture-corrupt");
  });
});

describe("a description that does not fit", () => {
  const changes: readonly (readonly [string, (json: Parts["json"]) => void])[] = [
    ["another format", (json) => (json.format = "something else")],
    ["no points", (json) => delete json.points],
    ["no vCPU", (json) => (json.threads = [])],
    ["a point of an unknown kind", (json) => (json.points[0].kind = "sideways")],
    ["a point id with a slash", (json) => (json.points[0].id = "../before")],
    ["a vCPU that is not there", (json) => (json.points[0].cpu = 2)],
    ["a row of registers too few", (json) => json.points[0].registers.pop()],
    ["more points than there may be", (json) => (json.points = Array.from({ length: 4097 }, () => json.points[0]))],
    ["more vCPUs than its points have rows for", (json) => (json.threads = new Array(4096).fill("01"))],
    ["a register too many", (json) => json.points[0].registers[0].push("00")],
    ["a register of the wrong size", (json) => (json.points[0].registers[0][0] = "0000")],
    ["a register with half a byte", (json) => (json.points[0].registers[0][0] = "000")],
    ["a register in upper case", (json) => (json.points[0].registers[0][0] = "FFFFFFFFFFFFFFFF")],
    ["a page that is not in the file", (json) => (json.points[0].present[1] = 99)],
    ["a list of pages that is cut", (json) => json.points[0].present.pop()],
    ["a list of absent pages that is cut", (json) => json.points[0].absent.pop()],
    ["a negative page number", (json) => (json.points[0].present[0] = -1)],
    ["a fraction for a page number", (json) => (json.points[0].present[0] = 0.5)],
    ["an address of more than 64 bits", (json) => (json.efi.systemTable = "0x10000000000000000")],
    ["an address that is a number", (json) => (json.efi.systemTable = 1)],
    ["a memory map without an address", (json) => delete json.memoryMap.address],
    ["a memory map at a number", (json) => (json.memoryMap.address = 1)],
    ["a memory map of more than 64 bits", (json) => (json.memoryMap.size = "0x10000000000000000")],
    ["a descriptor version of more than 32 bits", (json) => (json.memoryMap.descriptorVersion = 2 ** 32)],
    ["a negative descriptor version", (json) => (json.memoryMap.descriptorVersion = -1)],
    ["a map key that is no number", (json) => (json.memoryMap.mapKey = "key")],
    ["a memory map that is a list", (json) => (json.memoryMap = [])],
    ["an image without a base", (json) => delete json.points[1].images[0].base],
    ["an image at a number", (json) => (json.points[1].images[0].physical = 0x4020_0000)],
    ["images that are no list", (json) => (json.points[1].images = {})],
    ["65 images", (json) => (json.points[1].images = Array(65).fill(json.points[1].images[0]))],
    ["65 paths of symbols", (json) => (json.symbols.paths = Array(65).fill("x"))],
    ["1,025 files of symbols", (json) => (json.symbols.files = Array(1025).fill(json.symbols.files[0]))],
    ["a path of 4,097 characters", (json) => (json.symbols.files[0].path = "x".repeat(4097))],
    ["an image name of 4,097 characters", (json) => (json.symbols.files[0].image = "x".repeat(4097))],
    ["a symbol file of a negative size", (json) => (json.symbols.files[0].size = -1)],
    ["a symbol file without a path", (json) => delete json.symbols.files[0].path],
    ["a build id that is a number", (json) => (json.symbols.files[0].buildId = 7)],
    ["symbols without files", (json) => delete json.symbols.files],
    ["text of more than 4,096 characters", (json) => (json.notes = ["x".repeat(4097)])],
  ];

  it.each(changes)("is refused: %s", (_, change) => {
    const { json, pages } = partsOf(sampleCapture());
    change(json);
    expect(codeOf(packFile({ chunks: [metaChunk(json), pages, END_CHUNK] }))).toBe("capture-corrupt");
  });

  it("is read whatever else stands beside what is known", () => {
    const { json, pages } = partsOf(sampleCapture());
    for (const at of [json, json.efi, json.attempts[0], json.memoryMap, json.symbols, json.points[1].images[0]]) {
      at.more = "than is known";
    }
    const read = decode(packFile({ chunks: [metaChunk(json), pages, END_CHUNK] }));
    expect(captureText(read)).toBe(captureText(sampleCapture()));
  });

  it("is refused or read, but breaks nothing: 1,000 descriptions with a value replaced", () => {
    const random = new Random(7);
    const { pages, json: whole } = partsOf(sampleCapture());
    const seen = { read: 0, refused: 0 };
    for (let i = 0; i < 1000; i++) {
      const json = structuredClone(whole);
      replaceSomething(json, random);
      const code = codeOf(packFile({ chunks: [metaChunk(json), pages, END_CHUNK] }));
      if (code !== undefined && code !== "capture-corrupt") expect(code, `round ${i}`).toBe("capture-corrupt");
      seen[code === undefined ? "read" : "refused"]++;
    }
    expect(seen.read).toBeGreaterThan(50);
    expect(seen.refused).toBeGreaterThan(300);
  });
});

const VALUES: readonly unknown[] = [
  ...[null, true, 0, 1, -1, 0.5, 2 ** 53, 1e300, "", "-", "?", "0x0", "0x", "0xffffffffffffffff", "00", "zz", "\u0000"],
  ...[[], [0], [[]], {}, { code: "" }, [null], "__proto__"],
];

/** Puts something else at a random place of a JSON value. */
function replaceSomething(json: Record<string, unknown>, random: Random): void {
  let at = json;
  for (;;) {
    const keys = Object.keys(at);
    const key = random.pick(keys);
    const inner = at[key];
    if (typeof inner === "object" && inner !== null && Object.keys(inner).length > 0 && random.chance(0.85)) {
      at = inner as Record<string, unknown>;
    } else {
      at[key] = random.pick(VALUES);
      return;
    }
  }
}
