import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import { EbscopeError } from "../../../src/base/error.ts";
import { openCaptureStore } from "../../../src/bridge/store/index.ts";
import { decodeCapture, encodeCapture } from "../../../src/snapshot/file.ts";
import type { Capture } from "../../../src/snapshot/model.ts";
import { anyCapture, captureText, sampleCapture } from "../../support/captures.ts";
import { failure } from "../../support/failure.ts";
import { Random } from "../../support/random.ts";
import { freshFolder } from "./support.ts";

const folder = freshFolder();

/** A capture of one point with pages of noise, which do not deflate: one for each seed. */
function withPages(seeds: readonly number[], createdAt = "2026-11-22T11:00:00.000Z"): Capture {
  const sample = sampleCapture();
  const pages = new Map(
    seeds.map((seed, i) => [phys(BigInt(i) << 12n), { state: "present", bytes: noise(seed) } as const]),
  );
  const [point] = sample.points;
  if (point === undefined) throw new Error("the sample has no point");
  return { ...sample, createdAt, points: [{ ...point, pages }] };
}

function noise(seed: number): Uint8Array {
  const random = new Random(seed);
  return Uint8Array.from({ length: 4096 }, () => random.next());
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

async function filesOf(suffix: string): Promise<string[]> {
  return (await readdir(folder())).filter((name) => name.endsWith(suffix)).sort();
}

async function usage(): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder())) sum += (await stat(join(folder(), name))).size;
  return sum;
}

describe("the store of captures", () => {
  it("gives a capture as it was written, and its .ebs file byte for byte, also when it was opened again", async () => {
    const ebs = Buffer.from(encodeCapture(sampleCapture()));
    const store = await openCaptureStore(folder());
    const about = { id: "c1", createdAt: sampleCapture().createdAt, size: ebs.length };
    expect(await store.write("c1", sampleCapture())).toEqual(about);
    for (const each of [store, await openCaptureStore(folder())]) {
      expect(captureText(await each.read("c1"))).toBe(captureText(sampleCapture()));
      expect(Buffer.from(await each.file("c1")).equals(ebs)).toBe(true);
      expect(await each.list()).toEqual([about]);
    }
  });

  it("does so with any capture", async () => {
    const store = await openCaptureStore(folder());
    await fc.assert(
      fc.asyncProperty(anyCapture, async (capture) => {
        const ebs = encodeCapture(capture);
        await store.write("any", capture);
        expect(captureText(await store.read("any"))).toBe(captureText(decodeCapture(ebs, "")));
        expect(Buffer.from(await store.file("any")).equals(ebs)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("keeps a page once, however many captures have it", async () => {
    const store = await openCaptureStore(folder());
    await store.write("a", withPages(range(0, 100)));
    const first = await usage();
    expect(first).toBeGreaterThan(100 * 4096);
    for (let i = 1; i <= 9; i++) await store.write(`a${i}`, withPages(range(i, i + 100)));
    // Nine more pages, and ten times the rest.
    expect(await usage()).toBeLessThan(first + 9 * 4096 + 9 * 8192);
    for (let i = 1; i <= 9; i++) {
      expect(captureText(await store.read(`a${i}`))).toBe(captureText(withPages(range(i, i + 100))));
    }
  });

  it("lists the newest first", async () => {
    const store = await openCaptureStore(folder());
    for (const [id, day] of [
      ["b", "02"],
      ["a", "03"],
      ["d", "01"],
      ["c", "02"],
    ]) {
      await store.write(`${id}`, withPages([1], `2026-11-${day}T00:00:00.000Z`));
    }
    expect((await store.list()).map(({ id }) => id)).toEqual(["a", "c", "b", "d"]);
  });

  it("replaces a capture of the same id", async () => {
    const store = await openCaptureStore(folder());
    await store.write("a", withPages([1]));
    await store.write("a", withPages([2]));
    expect(captureText(await store.read("a"))).toBe(captureText(withPages([2])));
    expect((await store.list()).length).toBe(1);
  });

  it("stores what is written at once, in this store and in another of the same folder", async () => {
    const stores = [await openCaptureStore(folder()), await openCaptureStore(folder())];
    await Promise.all(range(0, 8).map((i) => stores[i % 2]?.write(`c${i}`, withPages(range(i, i + 10)))));
    for (let i = 0; i < 8; i++) {
      expect(captureText(await (stores[0] as (typeof stores)[0]).read(`c${i}`))).toBe(
        captureText(withPages(range(i, i + 10))),
      );
    }
  });

  it("has no capture under names that are none, and does not leave its folder for them", async () => {
    const inner = join(folder(), "inner");
    await mkdir(inner);
    await (await openCaptureStore(folder())).write("outer", sampleCapture());
    const store = await openCaptureStore(inner);
    for (const id of ["../outer", "outer", "", "A", "a/b", ".", "a\0", "a".repeat(41), "captures.lock"]) {
      for (const call of [store.read(id), store.file(id), store.remove(id)]) {
        expect((await failure(call)).code).toBe("no-such-capture");
      }
    }
    expect((await failure(store.write("../x", sampleCapture()))).code).toBe("internal");
    expect((await readdir(folder())).length).toBe(3);
  });

  it("removes what killed writers left when it is opened", async () => {
    await writeFile(join(folder(), "a.capture.01234567.part"), "half");
    await writeFile(join(folder(), "0123456789abcdef0123456789abcdef.pages.01234567.part"), "half");
    await writeFile(join(folder(), "notes.txt"), "the user's");
    expect(await (await openCaptureStore(folder())).list()).toEqual([]);
    expect(await readdir(folder())).toEqual(["notes.txt"]);
  });

  it("is for the user alone", async () => {
    await (await openCaptureStore(join(folder(), "captures"))).write("a", sampleCapture());
    expect((await stat(join(folder(), "captures"))).mode & 0o777).toBe(0o700);
    for (const name of await readdir(join(folder(), "captures"))) {
      expect((await stat(join(folder(), "captures", name))).mode & 0o777).toBe(0o600);
    }
  });
});

describe("pruning", () => {
  const now = () => new Date("2026-11-30T00:00:00.000Z");
  const day = (n: number) => `2026-11-${String(n).padStart(2, "0")}T00:00:00.000Z`;
  const open = () => openCaptureStore(folder(), now);

  it("frees the pages that no capture needs any more, and only those", async () => {
    const store = await open();
    await store.write("a", withPages(range(0, 100), day(1)));
    await store.write("b", withPages(range(90, 190), day(2)));
    const both = await usage();
    await store.remove("a");
    expect(await usage()).toBeLessThan(both - 80 * 4096);
    expect(captureText(await store.read("b"))).toBe(captureText(withPages(range(90, 190), day(2))));
    await store.remove("b");
    expect(await readdir(folder())).toEqual([]);
  });

  it.each([
    ["the newest by count", { count: 2 }, ["e", "d"]],
    ["none for a count of 0", { count: 0 }, []],
    ["those that are not too old", { days: 27.5 }, ["e", "d", "c"]],
    ["the newest that have room", { bytes: 35_000 }, ["e", "d"]],
    ["what all bounds let stay", { count: 3, days: 26.5, bytes: 1e9 }, ["e", "d"]],
    ["all when no bound is given", {}, ["e", "d", "c", "b", "a"]],
  ])("keeps %s", async (_, keep, kept) => {
    const store = await open();
    for (const [i, id] of ["a", "b", "c", "d", "e"].entries()) {
      await store.write(id, withPages(range(i * 3, i * 3 + 3), day(i + 1)));
    }
    const all = ["e", "d", "c", "b", "a"];
    const removed = all.filter((id) => !kept.includes(id));
    expect(await store.prune(keep)).toMatchObject({ removed, kept: kept.length });
    expect((await store.list()).map(({ id }) => id)).toEqual(kept);
    for (const id of kept) await store.read(id);
  });

  it("counts a page that newer captures need once", async () => {
    const store = await open();
    for (const [i, id] of ["a", "b", "c", "d"].entries()) await store.write(id, withPages(range(0, 20), day(i + 1)));
    expect((await store.prune({ bytes: 100_000 })).removed).toEqual([]);
    expect((await store.prune({ bytes: 80_000 })).removed).toEqual(["d", "c", "b", "a"]);
  });

  it("tells how much room came free, and before that in a dry run, which removes nothing", async () => {
    const store = await open();
    // "b" shares all but ten pages with what stays, "a" leaves a pack behind of which a quarter is still needed.
    await store.write("a", withPages(range(0, 100), day(1)));
    await store.write("b", withPages(range(75, 110), day(2)));
    await store.write("c", withPages(range(75, 100), day(3)));
    const [before, files] = [await usage(), await readdir(folder())];
    expect(await store.room()).toBe(before);
    const told = await store.prune({ count: 1 }, { dryRun: true });
    expect(told).toMatchObject({ removed: ["b", "a"], kept: 1 });
    expect([await readdir(folder()), await usage()]).toEqual([files, before]);
    expect(await store.prune({ count: 1 })).toEqual(told);
    expect(before - (await usage())).toBe(told.freed);
    expect(told.freed).toBeGreaterThan(85 * 4096);
    expect(captureText(await store.read("c"))).toBe(captureText(withPages(range(75, 100), day(3))));
    expect(await store.prune({ count: 1 })).toEqual({ removed: [], kept: 1, freed: 0 });
  });

  it("frees pages that a killed writer had stored before its capture", async () => {
    const store = await open();
    await store.write("a", withPages(range(0, 5)));
    await store.write("b", withPages(range(0, 10)));
    await rm(join(folder(), "b.capture"));
    await store.prune({});
    expect((await filesOf(".pages")).length).toBe(1);
    await store.read("a");
  });

  it("by another process's store does not disturb this one's captures", async () => {
    const [bridge, other] = [await open(), await open()];
    await bridge.write("old", withPages(range(0, 100), day(1)));
    await bridge.write("new", withPages(range(0, 30), day(2)));
    expect((await other.prune({ count: 1 })).removed).toEqual(["old"]);
    expect(captureText(await bridge.read("new"))).toBe(captureText(withPages(range(0, 30), day(2))));
    await bridge.write("next", withPages(range(20, 60), day(3)));
    expect(captureText(await other.read("next"))).toBe(captureText(withPages(range(20, 60), day(3))));
  });

  it("does not disturb who reads at the same time, while the pages move", async () => {
    const [store, reader] = [await open(), await open()];
    let reads = 0;
    // Each in a pack of its own: so reading takes longer than moving a page.
    const common = range(1, 60);
    for (const page of common) await store.write(`page-${page}`, withPages([page]));
    for (let round = 1; round <= 15; round++) {
      const first = range(round * 100, round * 100 + 3);
      await store.write("drop", withPages([...first, ...range(round * 100 + 50, round * 100 + 60)]));
      const own = [...first, ...common];
      await store.write("keep", withPages(own));
      let removing = true;
      const removal = store.remove("drop").finally(() => {
        removing = false;
      });
      for (; removing; reads++) expect(captureText(await reader.read("keep"))).toBe(captureText(withPages(own)));
      await removal;
    }
    expect(reads).toBeGreaterThanOrEqual(15);
  });

  it("does not take pages from a capture that is being written with them", async () => {
    const [bridge, other] = [await open(), await open()];
    for (let round = 0; round < 25; round++) {
      const pages = range(round * 100, round * 100 + 5);
      await other.write("old", withPages(pages));
      await Promise.all([other.remove("old"), bridge.write("new", withPages(pages))]);
      expect(captureText(await bridge.read("new"))).toBe(captureText(withPages(pages)));
    }
  });
});

describe("a damaged store of captures", () => {
  it("says which capture is damaged; the others are read, and a page that is written again heals it", async () => {
    const store = await openCaptureStore(folder());
    await store.write("a", withPages(range(0, 10)));
    const [pack = ""] = await filesOf(".pages");
    const bytes = await readFile(join(folder(), pack));
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 1;
    await writeFile(join(folder(), pack), bytes);
    const error = await failure(store.read("a"));
    expect([error.code, error.message]).toEqual([
      "capture-corrupt",
      "Cannot read capture a: 1 of its 10 pages are damaged or gone",
    ]);
    await store.write("b", withPages(range(0, 10)));
    expect(captureText(await store.read("b"))).toBe(captureText(withPages(range(0, 10))));
    expect(captureText(await store.read("a"))).toBe(captureText(withPages(range(0, 10))));
    await store.prune({});
    await store.read("a");
  });

  it("lists a damaged capture as old and large as its file, and can remove it", async () => {
    const store = await openCaptureStore(folder());
    await store.write("a", withPages([1]));
    await writeFile(join(folder(), "b.capture"), "nonsense");
    await utimes(join(folder(), "b.capture"), new Date("2026-11-01"), new Date("2026-11-01"));
    expect(await store.list()).toEqual([
      { id: "a", createdAt: "2026-11-22T11:00:00.000Z", size: expect.any(Number) },
      { id: "b", createdAt: "2026-11-01T00:00:00.000Z", size: 8 },
    ]);
    expect((await failure(store.read("b"))).code).toBe("capture-corrupt");
    await store.prune({});
    await store.remove("b");
    await store.read("a");
  });

  it("keeps all pages while there is a capture of a newer ebscope, and says so", async () => {
    const store = await openCaptureStore(folder());
    await store.write("a", withPages(range(0, 10)));
    const bytes = await readFile(join(folder(), "a.capture"));
    bytes.writeUInt32LE(2, 8);
    await writeFile(join(folder(), "a.capture"), bytes);
    expect((await failure(store.read("a"))).code).toBe("capture-newer");
    expect((await failure(store.prune({}))).code).toBe("capture-newer");
    expect((await filesOf(".pages")).length).toBe(1);
  });

  it("never gives a wrong capture, nor another error than its own, with 600 random damages", {
    timeout: 60_000,
  }, async () => {
    const random = new Random(6);
    const store = await openCaptureStore(folder());
    const texts = new Map<string, string>();
    for (const id of ["a", "b"]) {
      const capture = withPages(id === "a" ? range(0, 3) : range(2, 5));
      await store.write(id, capture);
      texts.set(id, captureText(capture));
    }
    const names = await readdir(folder());
    let refused = 0;
    for (let round = 0; round < 600; round++) {
      const path = join(folder(), random.pick(names));
      const bytes = await readFile(path);
      const damaged = random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : Buffer.from(bytes);
      // Most of them where the structure is.
      const at = random.below(random.chance(0.7) ? Math.min(400, damaged.length) : damaged.length);
      if (damaged.length === bytes.length) damaged[at] = (damaged[at] as number) ^ random.between(1, 255);
      await writeFile(path, damaged);
      const fresh = await openCaptureStore(folder());
      expect((await fresh.list()).map(({ id }) => id).sort()).toEqual(["a", "b"]);
      for (const [id, text] of texts) {
        const read = await fresh.read(id).catch((error: unknown) => error);
        if (read instanceof EbscopeError) refused++;
        else expect(captureText(read as Capture), `round ${round}`).toBe(text);
      }
      await writeFile(path, bytes);
    }
    expect(refused).toBeGreaterThan(400);
  });
});
