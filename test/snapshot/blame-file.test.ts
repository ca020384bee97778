/** A record of writes in a capture file: what is kept, how it stands there, what of it there is room for. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import type { BlameRecord } from "../../src/snapshot/blame.ts";
import { withinBounds } from "../../src/snapshot/blame-bounds.ts";
import { decodeCapture, encodeCapture } from "../../src/snapshot/file.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { readCapture, writeCapture } from "../../src/snapshot/store.ts";
import { anyBlame, longBlame, sampleBlame } from "../support/blame-records.ts";
import { captureText, packFile, sampleCapture } from "../support/captures.ts";
import { Random } from "../support/random.ts";
import { chunksOf, readBlame } from "./blame-reader.ts";

function withBlame(blame: BlameRecord | undefined = sampleBlame()): Capture {
  return { ...sampleCapture(), blame };
}

function again(capture: Capture): Capture {
  return decodeCapture(encodeCapture(capture), "x.ebs");
}

/** What the second reader says, in the shape of a record. */
function toldBy(file: Uint8Array): string {
  const told = readBlame(Buffer.from(file));
  const ranges = told?.ranges.map((range: { address: string }) => ({ ...range, address: BigInt(range.address) }));
  return captureText({ ...told, ranges });
}

describe("a record of writes", () => {
  it("is read back whole: every kind, all of an event and none of it, the largest numbers", () => {
    expect(captureText(again(withBlame()))).toBe(captureText(withBlame()));
  });

  it("stands in the file as docs/capture-format.md says: a reader written from it tells the same", () => {
    expect(toldBy(encodeCapture(withBlame()))).toBe(captureText(sampleBlame() as never));
  });

  it("does so whatever is in it", () => {
    const { threads, points } = sampleCapture();
    const property = fc.property(anyBlame(threads.length, points.length), (blame) => {
      expect(toldBy(encodeCapture(withBlame(blame)))).toBe(captureText(blame as never));
    });
    fc.assert(property, { seed: 1, numRuns: 100 });
  });

  it("is not there when nobody watched, and a file without it is as it always was", () => {
    const file = Buffer.from(encodeCapture(sampleCapture()));
    expect([...chunksOf(file).keys()]).toEqual(["META", "PAGE", "END "]);
    expect(decodeCapture(file, "").blame).toBeUndefined();
  });

  it("is passed over by a reader that does not know it, with nothing else changed", () => {
    const chunks = [...chunksOf(Buffer.from(encodeCapture(withBlame())))];
    expect(chunks.map(([type]) => type)).toEqual(["META", "PAGE", "BLAM", "END "]);
    const file = packFile({ chunks: chunks.map(([type, each]) => [type === "BLAM" ? "????" : type, each]) });
    expect(captureText(decodeCapture(file, ""))).toBe(captureText(sampleCapture()));
  });

  it("shares its pages with the points", () => {
    const [first] = sampleCapture().points;
    const page = [...(first?.pages.values() ?? [])].find((read) => read.state === "present");
    const copy = Uint8Array.from(page?.bytes ?? []);
    const count = (capture: Capture) =>
      chunksOf(Buffer.from(encodeCapture(capture)))
        .get("PAGE")
        ?.readUInt32LE(0);
    const shared = { ...sampleBlame(), contents: [copy, copy], code: new Map([[virt(0), copy]]) };
    expect(count(withBlame(shared))).toBe(count(sampleCapture()));
    expect(captureText(again(withBlame(shared)))).toBe(captureText(withBlame(shared)));
  });

  it("stays when the file is written again, with symbols", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ebscope-blame-"));
    try {
      const file = join(folder, "a.ebs");
      await writeCapture(file, { ...withBlame(), symbols: undefined });
      const { symbols } = sampleCapture();
      await writeCapture(file, { ...(await readCapture(file)), symbols });
      expect(captureText(await readCapture(file))).toBe(captureText(withBlame()));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("takes less than 3 bytes an event where a firmware changes attributes run by run", () => {
    const blame = longBlame(40_000, new Random(1));
    const capture = { ...withBlame(blame), threads: Array.from({ length: 8 }, (_, i) => `${i}`), points: [] };
    const chunk = chunksOf(Buffer.from(encodeCapture(capture))).get("BLAM");
    // Its 3,000 stacks are 1.9 MiB of words.
    const bare = chunksOf(Buffer.from(encodeCapture({ ...capture, blame: { ...blame, events: [] } }))).get("BLAM");
    expect((chunk?.length ?? 0) - (bare?.length ?? 0)).toBeLessThan(120_000);
    // Of so many no difference is to be shown.
    expect(captureText(again(capture)) === captureText(capture)).toBe(true);
  });
});

describe("a record of more than a file takes", () => {
  const first = sampleBlame();
  const event = { ...first.events[0], address: 0n } as BlameRecord["events"][number];
  const [stack] = first.stacks as [BlameRecord["stacks"][number]];
  const page = new Uint8Array(4096);

  it("is cut to what it takes, and says what was left out", () => {
    const more: BlameRecord = {
      ...first,
      ranges: Array(70).fill(first.ranges[0]),
      sites: Array(65_537).fill(first.sites[0]),
      contents: Array(65_540).fill(page),
      code: new Map(Array.from({ length: 16_386 }, (_, i) => [virt(i * 4096), page])),
      stacks: [...Array(65_535).fill(stack), { ...stack, words: Array(600).fill(7n) }, stack],
      notes: Array.from({ length: 1100 }, (_, i) => `note ${i}`),
      events: [
        { ...event, kind: "table", stack: 65_535 },
        { ...event, kind: "table", stack: 65_536 },
        { ...event, kind: "table-found", new: 65_535n },
        { ...event, kind: "table-found", new: 65_536n },
        { ...event, kind: "lapse", address: 1022n },
        { ...event, kind: "lapse", address: 1023n },
        { ...event, kind: "lapse", address: 1099n, stack: 65_536 },
      ],
    };
    const read = again(withBlame(more)).blame as BlameRecord;
    expect(read.ranges).toHaveLength(64);
    expect(read.sites).toHaveLength(65_536);
    expect(read.contents).toHaveLength(65_536);
    expect(read.code.size).toBe(16_384);
    expect(read.stacks).toHaveLength(65_536);
    expect(read.stacks[65_535]?.words).toEqual(Array(512).fill(7n));
    expect(read.notes).toHaveLength(1024);
    expect(read.notes[1023]).toBe(
      "More was recorded than a capture file takes; left out: stacks or parts of them, 4 of 65,540 pages of tables, " +
        "2 of 16,386 pages of code, 1 of 65,537 breakpoints, 6 of 70 ranges, 76 of 1,100 notes.",
    );
    expect(read.events.map(({ stack: each }) => each)).toEqual([65_535, ...Array(6).fill(undefined)]);
    expect(read.events.slice(2, 4).map((each) => each.new)).toEqual([65_535n, undefined]);
    expect(read.events.slice(4).map(({ address }) => address)).toEqual([1022n, 1023n, 1023n]);
    expect(read.uncounted).toBe(12);
  });

  it("counts the events that it leaves out: the last writes, never a point or a lapse", () => {
    const write = { ...event, kind: "table" } as const;
    const [point, lapse] = [event, { ...event, kind: "lapse", address: 1n } as const];
    const all = [point, ...Array(2 ** 22 - 1).fill(write), lapse, write, point];
    const { events, uncounted, notes } = withinBounds({ ...first, events: all });
    expect([events.length, uncounted]).toEqual([2 ** 22, 15]);
    expect([events[0], ...events.slice(-4)]).toEqual([point, write, write, lapse, point]);
    expect(notes.slice(2)).toEqual(["More was recorded than a capture file takes; left out: 3 of 4,194,307 events."]);
    expect(withinBounds({ ...first, events: Array(2 ** 22 + 3).fill(lapse) }).events).toHaveLength(2 ** 22);
  });

  it("keeps the words of the first stacks, eight million of them", () => {
    const long = { ...stack, words: Array(512).fill(7n) };
    const { stacks } = withinBounds({ ...first, stacks: Array(20_000).fill(long) });
    expect(stacks.filter(({ words }) => words.length === 512)).toHaveLength(2 ** 23 / 512);
    expect(stacks.slice(2 ** 23 / 512).every(({ words }) => words.length === 0)).toBe(true);
  });

  it("keeps no address without its value", () => {
    const { stacks } = withinBounds({ ...first, stacks: [{ ...stack, words: [1n, 2n, 3n] }] });
    expect(stacks[0]?.words).toEqual([1n, 2n]);
  });

  it("is left alone when it fits", () => {
    expect(withinBounds(first)).toBe(first);
  });

  it("has its texts cut to what a reader takes", () => {
    const long = "ü".repeat(5000);
    const ranges = [{ name: long, address: virt(0), length: 1 }];
    const read = again(withBlame({ ...first, ranges, notes: [long, long] })).blame;
    expect(read?.notes).toEqual([long.slice(0, 4096), long.slice(0, 4096)]);
    expect(read?.ranges[0]?.name).toBe(long.slice(0, 4096));
  });
});
