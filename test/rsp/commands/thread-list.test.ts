import { describe, expect, it } from "vitest";
import { parseThreadList } from "../../../src/rsp/commands/thread-list.ts";

const protocolError = (message: RegExp) =>
  expect.objectContaining({ code: "protocol-error", message: expect.stringMatching(message) });
const nothing = { core: undefined, name: undefined, shownId: undefined, handle: undefined, details: undefined };

describe("parseThreadList", () => {
  it("reads what gdbserver 13 says of a program with one thread", () => {
    const text = '<threads>\n<thread id="p9cd.9cd" core="1" name="t"/>\n</threads>\n';
    expect(parseThreadList(text)).toEqual([
      { ...nothing, id: { process: 0x9cdn, thread: 0x9cdn }, core: 1, name: "t" },
    ]);
  });

  it("reads the example of the manual", () => {
    const text = `<?xml version="1.0"?><threads>
      <thread id="1a" core="0" name="name" id_str="Thread 12.34" handle="1a2b3c">... description ...</thread></threads>`;
    expect(parseThreadList(text)).toEqual([
      {
        id: { process: undefined, thread: 0x1an },
        core: 0,
        name: "name",
        shownId: "Thread 12.34",
        handle: Buffer.from("1a2b3c", "hex"),
        details: "... description ...",
      },
    ]);
  });

  it("keeps the order, and knows a list without threads", () => {
    const text = `<threads><thread id="2"/><thread id="1"/></threads>`;
    expect(parseThreadList(text).map(({ id }) => id.thread)).toEqual([2n, 1n]);
    expect(parseThreadList("<threads/>")).toEqual([]);
  });

  it("drops what it cannot use of a thread", () => {
    const text = `<threads><thread id="1" core="x" handle="123" future="1"/><thread id="2" core="99999999999"/></threads>`;
    expect(parseThreadList(text)).toEqual([
      { ...nothing, id: { process: undefined, thread: 1n } },
      { ...nothing, id: { process: undefined, thread: 2n } },
    ]);
  });

  it("makes texts printable and bounds them", () => {
    const text = `<threads><thread id="1" name="a&#x202e;b">x${"y".repeat(100_000)}</thread></threads>`;
    const [thread] = parseThreadList(text);
    expect(thread?.name).toBe("a\\u{202e}b");
    expect(thread?.details?.length).toBeLessThan(1100);
  });

  it.each<[string, string, RegExp]>([
    ["a thread without an id", "<threads><thread/></threads>", /usable id/],
    ["all threads as one", `<threads><thread id="-1"/></threads>`, /usable id/],
    ["a process as a thread", `<threads><thread id="p1"/></threads>`, /usable id/],
    ["another document", "<memory-map/>", /it is a <memory-map>/],
    ["no XML", "l", /no XML/],
    ["an include", `<threads><xi:include href="threads.xml"/></threads>`, /includes another document/],
    ["an entity of its own", `<!DOCTYPE threads [<!ENTITY a "1">]><threads><thread id="&a;"/></threads>`, /no XML/],
    ["100,000 threads", `<threads>${'<thread id="1"/>'.repeat(100_000)}</threads>`, /too many elements/],
  ])("refuses %s", (_, text, message) => expect(() => parseThreadList(text)).toThrowError(protocolError(message)));
});
