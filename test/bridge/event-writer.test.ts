import { describe, expect, it, vi } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { EventWriter } from "../../src/bridge/event-writer.ts";
import type { NewEvent } from "../../src/bridge/ports.ts";
import { failure } from "../support/failure.ts";
import { FakeLog } from "./support.ts";

const event = (text: string): NewEvent => ({ kind: "capture.progress", target: "t1", capture: "c", data: { text } });

/** What the log has, as it was told. */
const texts = ({ events }: FakeLog): string[] =>
  events.map((each) => (each.kind === "capture.progress" ? each.data.text : each.kind));

describe("the writer of events", () => {
  it("writes them in the order in which they were told, whoever waits", async () => {
    const log = new FakeLog();
    const writer = new EventWriter(log);
    const all = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const text of all) void writer.tell(event(text));
    await writer.tell(event("last"));
    expect(texts(log)).toEqual([...all, "last"]);
  });

  it("hands what has gathered to the log at once", async () => {
    const log = new FakeLog();
    const underWay: number[] = [];
    let open = 0;
    const append = async (each: NewEvent) => {
      underWay.push(++open);
      return log.append(each).finally(() => open--);
    };
    const writer = new EventWriter({ append });
    await Promise.all(["a", "b", "c", "d"].map((text) => writer.tell(event(text))));
    expect(Math.max(...underWay)).toBe(3);
  });

  it("holds what cannot be written, says so once, and writes it first when that works again", async () => {
    const log = new FakeLog();
    const onProblem = vi.fn();
    const writer = new EventWriter(log, onProblem);
    log.full = true;
    await writer.tell(event("a"));
    await writer.tell(event("b"));
    expect((await failure(writer.ready())).code).toBe("store-full");
    expect(onProblem).toHaveBeenCalledExactlyOnceWith({ error: expect.any(EbscopeError), lost: 0 });
    log.full = false;
    await writer.tell(event("c"));
    await writer.ready();
    expect(texts(log)).toEqual(["a", "b", "c"]);
  });

  it("is ready again as soon as the log is", async () => {
    const log = new FakeLog();
    const writer = new EventWriter(log);
    log.full = true;
    await writer.tell(event("a"));
    log.full = false;
    await writer.ready();
    expect(texts(log)).toEqual(["a"]);
  });

  it("keeps the order where only some of what was written together failed", async () => {
    const log = new FakeLog();
    let appended = 0;
    const append = async (each: NewEvent) => {
      if (++appended > 2 && appended <= 4) throw new EbscopeError("store-full", "Cannot write");
      return log.append(each);
    };
    const writer = new EventWriter({ append });
    await Promise.all(["a", "b", "c", "d"].map((text) => writer.tell(event(text))));
    await writer.close();
    expect(texts(log)).toEqual(["a", "b", "c", "d"]);
  });

  it("holds a thousand, and says how many more are lost", async () => {
    const log = new FakeLog();
    const lost: number[] = [];
    const writer = new EventWriter(log, (problem) => lost.push(problem.lost));
    log.full = true;
    await writer.tell(event("0"));
    for (let i = 1; i < 1002; i++) void writer.tell(event(`${i}`));
    expect(lost).toEqual([0, 1, 2]);
    log.full = false;
    await writer.close();
    expect(texts(log)).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`));
  });

  it("takes a log that throws, of itself, for one that cannot be written", async () => {
    const writer = new EventWriter({
      append: () => {
        throw new TypeError("broken");
      },
    });
    await writer.tell(event("a"));
    expect((await failure(writer.ready())).code).toBe("internal");
    await writer.close();
  });
});
