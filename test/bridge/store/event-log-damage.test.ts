import { cp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openEventLog } from "../../../src/bridge/store/index.ts";
import { failure } from "../../support/failure.ts";
import { Random } from "../../support/random.ts";
import { freshFolder } from "./support.ts";
import { appendAll, jsonOf, lineOf, logFiles, numbers, progress, readWhole } from "./support-files.ts";

const folder = freshFolder();
const FIRST = "events-0000000000000001.log";

/** A log of events 1 to `count` in one file; its lines. */
async function oneFile(count: number): Promise<string[]> {
  const log = await openEventLog(folder());
  const lines = jsonOf(await appendAll(log, numbers(count))).map(lineOf);
  await log.close();
  return lines;
}

async function write(text: string): Promise<void> {
  await writeFile(join(folder(), FIRST), text);
}

describe("a log whose last write was cut off", () => {
  it("loses what was not finished, says how much, and goes on with that number, wherever it was cut", async () => {
    const lines = await oneFile(3);
    const [first = "", second = "", third = ""] = lines;
    for (let length = 0; length < third.length; length++) {
      await write(first + second + third.slice(0, length));
      const log = await openEventLog(folder());
      expect([log.head, log.cut, log.damage]).toEqual([2, length, undefined]);
      expect(await readFile(join(folder(), FIRST), "utf8")).toBe(first + second);
      if (length === 40) expect((await log.append(progress("new"))).event.seq).toBe(3);
      await log.close();
    }
  });

  it("loses the zeros that a power failure left at its end", async () => {
    const lines = await oneFile(2);
    await write(`${lines.join("")}${"\0".repeat(5_000)}`);
    const log = await openEventLog(folder());
    expect([log.head, log.cut]).toEqual([2, 5_000]);
    await log.close();
  });

  it("is empty when nothing of its first event was finished", async () => {
    await oneFile(1);
    await truncate(join(folder(), FIRST), 30);
    const log = await openEventLog(folder());
    expect([log.head, log.oldest, log.cut]).toEqual([0, 1, 30]);
    expect((await log.append(progress("first"))).event.seq).toBe(1);
    await log.close();
  });

  it("keeps its numbers when a new file had been begun and nothing was in it", async () => {
    await oneFile(5);
    await writeFile(join(folder(), "events-0000000000000006.log"), "");
    const log = await openEventLog(folder());
    expect([log.head, log.oldest]).toEqual([5, 1]);
    expect((await log.append(progress("six"))).event.seq).toBe(6);
    expect((await readWhole(log)).events.length).toBe(6);
    await log.close();
    expect((await logFiles(folder())).length).toBe(2);
  });
});

describe("a damaged log", () => {
  it("says which events are damaged, and gives those before and behind", async () => {
    const lines = await oneFile(9);
    const damaged = lines.map((line, i) => (i === 3 || i === 4 ? line.replace("event", "evenT") : line));
    await write(damaged.join(""));
    const log = await openEventLog(folder());
    expect([log.head, log.cut]).toEqual([9, 0]);
    expect((await log.read(1, 9)).map(({ event }) => event.seq)).toEqual([1, 2, 3]);
    const error = await failure(log.read(4, 9));
    expect([error.code, error.message]).toEqual(["store-corrupt", "Cannot read events 4 to 5: they are damaged"]);
    expect((await failure(log.read(5, 9))).message).toBe("Cannot read event 5: it is damaged");
    expect(await log.nextReadable(4)).toBe(6);
    expect((await log.read(6, 9)).map(({ event }) => event.seq)).toEqual([6, 7, 8, 9]);
    expect((await log.append(progress("ten"))).event.seq).toBe(10);
    await log.close();
    expect((await readFile(join(folder(), FIRST), "utf8")).startsWith(damaged.join(""))).toBe(true);
  });

  it("gives the number of a damaged event at its end to no other, and leaves the file as it is", async () => {
    const lines = await oneFile(4);
    const text = lines.join("").replace("event 4", "event 5");
    await write(text);
    for (const _ of ["once", "and again"]) {
      const log = await openEventLog(folder());
      expect([log.head, log.cut, log.damage]).toEqual([4, 0, { from: 4, to: 4 }]);
      await log.close();
    }
    const log = await openEventLog(folder());
    expect((await log.append(progress("next"))).event.seq).toBe(5);
    expect(await readWhole(log)).toMatchObject({ events: { length: 4 }, lost: [4] });
    await log.close();
    const again = await openEventLog(folder());
    expect([again.head, again.damage]).toEqual([5, undefined]);
    expect(await readWhole(again)).toMatchObject({ events: { length: 4 }, lost: [4] });
    await again.close();
    expect(await readFile(join(folder(), FIRST), "utf8")).toBe(text);
  });

  it.each([
    ["the last line feed", (text: string) => `${text.slice(0, -1)}x`, [4]],
    ["the last line feed but one", (text: string) => text.replace(/\n(.*\n)$/, "x$1"), [3, 4]],
  ])("has announced events behind %s, and their numbers stay taken", async (_, damage, lost) => {
    const lines = await oneFile(4);
    await write(damage(lines.join("")));
    const log = await openEventLog(folder());
    expect([log.head, log.cut]).toEqual([4, 0]);
    expect((await log.append(progress("next"))).event.seq).toBe(5);
    expect((await readWhole(log)).lost).toEqual(lost);
    await log.close();
  });

  it("does not take an event twice, nor one under another number, nor what is no event", async () => {
    const [first = "", second = ""] = await oneFile(2);
    const { json } = { json: second.slice(9, -1) };
    const strange = [
      '{"seq":3,"kind":"finding"}',
      '{"seq":4}',
      '{"seq":5,',
      '{"seq":1e3,"time":""}',
      '{"seq":0,"time":""}',
    ];
    const last = lineOf(json.replace('"seq":2', '"seq":9'));
    await write(first + second + first + second + strange.map(lineOf).join("") + last);
    const log = await openEventLog(folder());
    expect(log.head).toBe(9);
    const { events, lost } = await readWhole(log);
    expect(events.map(({ event }) => event.seq)).toEqual([1, 2, 9]);
    expect(lost).toEqual([3, 4, 5, 6, 7, 8]);
    await log.close();
  });

  it("reads on behind a file that is gone, and behind one that is something else", async () => {
    const log = await openEventLog(folder(), { segmentBytes: 600, memoryBytes: 1 });
    for (const text of numbers(16)) await log.append(progress(text));
    await log.close();
    const [, second = "", third = "", fourth = ""] = await logFiles(folder());
    await rm(join(folder(), second));
    await writeFile(join(folder(), third), "\x7fELF".repeat(1_000));
    const again = await openEventLog(folder());
    const { events, lost } = await readWhole(again);
    expect(again.head).toBe(16);
    expect(events.length + lost.length).toBe(16);
    expect(lost[0]).toBe(Number(second.slice(7, 23)));
    expect(lost.at(-1)).toBe(Number(fourth.slice(7, 23)) - 1);
    await again.close();
  });

  it("gives true events only, and never another error than its own, with 2,000 random damages", {
    timeout: 120_000,
  }, async () => {
    const random = new Random(20261122);
    const source = join(folder(), "source");
    const log = await openEventLog(source, { segmentBytes: 1_500 });
    for (let i = 1; i <= 40; i++) await log.append(progress(`event ${i} ${"é".repeat(random.below(60))}`));
    const original = jsonOf((await readWhole(log)).events);
    await log.close();
    const names = await logFiles(source);
    const files = new Map<string, Buffer>();
    for (const name of names) files.set(name, await readFile(join(source, name)));
    const copy = join(folder(), "copy");
    await cp(source, copy, { recursive: true });
    const seen = { whole: 0, hurt: 0 };
    for (let round = 0; round < 2_000; round++) {
      const name = random.pick(names);
      const bytes = files.get(name) as Buffer;
      const { damaged, flips } = damage(bytes, random);
      await writeFile(join(copy, name), damaged);
      const again = await openEventLog(copy);
      const { events, lost } = await readWhole(again);
      for (const { event, json } of events) expect(json, `round ${round}`).toBe(original[event.seq - 1]);
      if (flips === 1) {
        // One byte is in one event, or between two.
        expect(lost.length, `round ${round}`).toBeLessThanOrEqual(2);
        expect(again.head, `round ${round}`).toBe(40);
      }
      expect(events.length + lost.length).toBe(again.head);
      seen[lost.length === 0 && events.length === 40 ? "whole" : "hurt"]++;
      await again.close();
      await writeFile(join(copy, name), bytes);
    }
    expect(seen.hurt).toBeGreaterThan(1_900);
  });
});

/** One byte changed, several, a stretch overwritten, taken out or put in, or the end cut off. */
function damage(bytes: Buffer, random: Random): { damaged: Buffer; flips: number } {
  const at = random.below(bytes.length);
  const length = random.between(1, 40);
  const noise = Buffer.from(Array.from({ length }, () => random.below(256)));
  switch (random.below(6)) {
    case 0:
    case 1:
      return { damaged: changed(bytes, [at], random), flips: 1 };
    case 2:
      return {
        damaged: changed(
          bytes,
          Array.from({ length }, () => random.below(bytes.length)),
          random,
        ),
        flips: 0,
      };
    case 3:
      return { damaged: Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at + length)]), flips: 0 };
    case 4:
      return { damaged: Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]), flips: 0 };
    default:
      return { damaged: bytes.subarray(0, at), flips: 0 };
  }
}

function changed(bytes: Buffer, places: readonly number[], random: Random): Buffer {
  const copy = Buffer.from(bytes);
  for (const at of places) copy[at] = (copy[at] as number) ^ random.between(1, 255);
  return copy;
}
