import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openEventLog } from "../../../src/bridge/store/index.ts";
import { failure } from "../../support/failure.ts";
import { freshFolder } from "./support.ts";
import { appendAll, jsonOf, lineOf, logFiles, numbers, progress, readText, readWhole } from "./support-files.ts";

const folder = freshFolder();
const now = () => new Date("2026-11-22T11:00:00.000Z");

describe("the log of events", () => {
  it("numbers events from 1 on, with the time of the append, and gives their JSON", async () => {
    const log = await openEventLog(folder(), { now });
    expect([log.head, log.oldest, log.cut, log.damage]).toEqual([0, 1, 0, undefined]);
    const { event, json } = await log.append(progress("a"));
    expect(event).toEqual({ seq: 1, time: "2026-11-22T11:00:00.000Z", ...progress("a") });
    expect(JSON.parse(json)).toEqual(event);
    expect((await log.append(progress("b"))).event.seq).toBe(2);
    expect([log.head, log.oldest]).toEqual([2, 1]);
    await log.close();
  });

  it("writes an event a line: CRC-32 of the JSON, a space, the JSON", async () => {
    const log = await openEventLog(folder(), { now });
    const events = await appendAll(log, ["plain", "line\nfeed", "Grüße ✓ \u2028", "\ud800 alone", '{"seq":7,']);
    await log.close();
    const text = await readText(folder(), "events-0000000000000001.log");
    expect(text).toBe(jsonOf(events).map(lineOf).join(""));
    expect(text.split("\n").length).toBe(6);
  });

  it("is the same after it was opened again, and goes on from its head", async () => {
    const log = await openEventLog(folder());
    const before = await appendAll(log, numbers(50));
    await log.close();
    const again = await openEventLog(folder());
    expect([again.head, again.oldest, again.cut]).toEqual([50, 1, 0]);
    const { event } = await again.append(progress("more"));
    expect(event.seq).toBe(51);
    const { events } = await readWhole(again);
    expect(jsonOf(events.slice(0, 50))).toEqual(jsonOf(before));
    expect(events.map(({ event }) => event.seq)).toEqual(Array.from({ length: 51 }, (_, i) => i + 1));
    await again.close();
  });

  it("tells listeners of each event once and in order, when it is in the file", async () => {
    const log = await openEventLog(folder());
    const heard: number[] = [];
    const sizes: number[] = [];
    log.listen((events) => heard.push(...events.map(({ event }) => event.seq)));
    await Promise.all(
      numbers(40).map(async (text) => {
        const { event } = await log.append(progress(text));
        sizes.push((await stat(join(folder(), "events-0000000000000001.log"))).size - event.seq * 100);
        expect(heard.at(-1)).toBeGreaterThanOrEqual(event.seq);
      }),
    );
    expect(heard).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    await log.close();
  });

  it("tells a listener nothing after it was stopped, and the others everything though one throws", async () => {
    const log = await openEventLog(folder());
    const heard: number[] = [];
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    log.listen(() => {
      throw new Error("defective listener");
    });
    const stop = log.listen((events) => heard.push(...events.map(({ event }) => event.seq)));
    await log.append(progress("a"));
    stop();
    await log.append(progress("b"));
    await new Promise(setImmediate);
    process.off("warning", onWarning);
    expect(heard).toEqual([1]);
    expect(warnings.map(({ message }) => message)).toEqual(["defective listener", "defective listener"]);
    await log.close();
  });

  it("reads any part, from memory and from files alike, and nothing beyond the head", async () => {
    const log = await openEventLog(folder(), { memoryBytes: 2_000, segmentBytes: 3_000 });
    const all = jsonOf(await appendAll(log, numbers(30)));
    for (const text of numbers(30, 31)) all.push((await log.append(progress(text))).json);
    for (let from = 1; from <= 60; from += 7) {
      for (let to = from; to <= 62; to += 5) {
        const part = jsonOf(await log.read(from, to));
        expect(part.length).toBeGreaterThan(0);
        expect(part).toEqual(all.slice(from - 1, Math.min(to, from - 1 + part.length)));
      }
    }
    expect(await log.read(61, 100)).toEqual([]);
    expect(await log.read(5, 4)).toEqual([]);
    await log.close();
  });

  it("gives events of any size one by one where a piece would be too large", async () => {
    const log = await openEventLog(folder(), { memoryBytes: 1 });
    const large = "x".repeat(3 << 20);
    await appendAll(log, [large, "small", large]);
    expect((await log.read(1, 3)).length).toBe(1);
    const { events } = await readWhole(log);
    expect(events.map(({ json }) => json.length > 3 << 20)).toEqual([true, false, true]);
    await log.close();
  });

  it("refuses an event that is larger than a line may be, or no JSON, and goes on", async () => {
    const log = await openEventLog(folder());
    expect((await failure(log.append(progress("x".repeat(33 << 20))))).code).toBe("internal");
    const noJson = progress("");
    expect((await failure(log.append({ ...noJson, data: { text: 1n } } as never))).code).toBe("internal");
    expect((await log.append(noJson)).event.seq).toBe(1);
    await log.close();
  });

  it("finishes what was appended when it is closed, and takes nothing afterwards", async () => {
    const log = await openEventLog(folder());
    const appended = appendAll(log, numbers(10));
    await log.close();
    expect((await appended).length).toBe(10);
    expect((await failure(log.append(progress("late")))).code).toBe("interrupted");
    await log.close();
  });
});

describe("the files of the log", () => {
  it("are named after their first event, and no larger than they may be", async () => {
    const log = await openEventLog(folder(), { segmentBytes: 1_000 });
    for (const text of numbers(20)) await log.append(progress(text));
    await log.close();
    const names = await logFiles(folder());
    expect(names.length).toBeGreaterThan(2);
    for (const name of names) {
      const text = await readText(folder(), name);
      expect(text.length).toBeLessThanOrEqual(1_000);
      const first: unknown = JSON.parse(text.slice(9, text.indexOf("\n")));
      expect(first).toMatchObject({ seq: Number(name.slice(7, 23)) });
    }
  });

  it("go, the oldest first, when there are too many; what is gone is said to be gone", async () => {
    const options = { segmentBytes: 1_000, totalBytes: 3_000, memoryBytes: 500 };
    const log = await openEventLog(folder(), options);
    for (const text of numbers(100)) await log.append(progress(text));
    expect(log.oldest).toBeGreaterThan(50);
    expect((await failure(log.read(log.oldest - 1, 100))).code).toBe("events-gone");
    expect((await failure(log.read(0, 100))).code).toBe("events-gone");
    expect(await log.nextReadable(1)).toBe(log.oldest);
    const { oldest } = log;
    await log.close();
    expect((await logFiles(folder()))[0]).toBe(`events-${String(oldest).padStart(16, "0")}.log`);
    const again = await openEventLog(folder(), options);
    expect([again.oldest, again.head]).toEqual([oldest, 100]);
    expect((await readWhole(again)).events.length).toBe(101 - oldest);
    await again.close();
  });

  it("are for the user alone", async () => {
    const log = await openEventLog(join(folder(), "log"));
    await log.append(progress("a"));
    const name = join(folder(), "log", "events-0000000000000001.log");
    expect([(await stat(join(folder(), "log"))).mode & 0o777, (await stat(name)).mode & 0o777]).toEqual([0o700, 0o600]);
    await log.close();
  });
});
