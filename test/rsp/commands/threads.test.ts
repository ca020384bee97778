import { describe, expect, it } from "vitest";
import type { Reply } from "../../../src/rsp/command.ts";
import {
  currentThread,
  firstThreads,
  listThreads,
  nextThreads,
  threadExtraInfo,
} from "../../../src/rsp/commands/threads.ts";
import type { Send } from "../../../src/rsp/commands/wire.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");
const thread = (id: bigint, process?: bigint) => ({ process, thread: id });

/** Answers with the replies in their order, the last one again and again; notes what was asked. */
function stub(replies: readonly string[], asked: string[] = []): Send {
  let next = 0;
  return async (command) => {
    asked.push(String(command.payload));
    return command.decode(wire(replies[Math.min(next++, replies.length - 1)] as string));
  };
}

describe("qC", () => {
  it.each([
    ["QC1", thread(1n)],
    ["QCp01.01", thread(1n, 1n)],
    ["QCp01.b69", thread(0xb69n, 1n)],
    ["QCb01", thread(0xb01n)],
    ["QC0", { process: undefined, thread: "any" }],
  ])("reads %s", (reply, value) => expect(currentThread().decode(wire(reply))).toEqual({ kind: "ok", value }));

  it.each(["OK", "QC", "QC-1", "QCp1.-1", "QCp1", "QCzz", "1", `QC${"0".repeat(100)}1`])(
    "takes %.20s for malformed",
    (reply) => {
      expect(currentThread().decode(wire(reply)).kind).toBe("malformed");
    },
  );
});

describe("qfThreadInfo and qsThreadInfo", () => {
  it.each([firstThreads(), nextThreads()])("read a list ($payload)", ({ decode }) => {
    expect(decode(wire("mp01.01"))).toEqual({ kind: "ok", value: { kind: "threads", threads: [thread(1n, 1n)] } });
    expect(decode(wire("m1,2,ff"))).toEqual({
      kind: "ok",
      value: { kind: "threads", threads: [thread(1n), thread(2n), thread(0xffn)] },
    });
    expect(decode(wire("l"))).toEqual({ kind: "ok", value: { kind: "end" } });
    expect(decode(wire(""))).toEqual({ kind: "unsupported" });
    expect(decode(wire("E01")).kind).toBe("error");
  });

  it.each(["m", "m1,", "m,1", "m1,,2", "m-1", "mp1.-1", "mp1", "m1;2", "mzz", "l1", "OK", "1,2"])(
    "take %s for malformed",
    (reply) => expect(firstThreads().decode(wire(reply)).kind).toBe("malformed"),
  );

  it("take a list of more threads than any machine has for malformed", () => {
    const ids = (count: number) => wire(`m${Array(count).fill("1").join(",")}`);
    expect(firstThreads().decode(ids(65_536)).kind).toBe("ok");
    expect(firstThreads().decode(ids(65_537)).kind).toBe("malformed");
    expect(firstThreads().decode(ids(2_000_000)).kind).toBe("malformed");
  });
});

describe("listThreads", () => {
  it("asks on until the end, as QEMU wants it", async () => {
    const asked: string[] = [];
    const reply = await listThreads(stub(["mp01.01", "mp01.02", "l"], asked));
    expect(reply).toEqual({ kind: "ok", value: [thread(1n, 1n), thread(2n, 1n)] });
    expect(asked).toEqual(["qfThreadInfo", "qsThreadInfo", "qsThreadInfo"]);
  });

  it("knows a list without threads", async () => {
    expect(await listThreads(stub(["l"]))).toEqual({ kind: "ok", value: [] });
  });

  it("passes on that the stub has no list, or refuses it", async () => {
    expect(await listThreads(stub([""]))).toEqual({ kind: "unsupported" });
    expect(await listThreads(stub(["m1", "E01"]))).toMatchObject({ kind: "error", code: 1 });
  });

  it.each([
    ["a list that does not end", ["m1"]],
    ["a list of nothing", ["mzz"]],
    ["a list that breaks off", ["m1", ""]],
  ])("raises protocol-error for %s", async (_, replies) => {
    await expect(listThreads(stub(replies), { maxThreads: 1000 })).rejects.toMatchObject({ code: "protocol-error" });
  });

  it("stops asking at its bounds", async () => {
    const asked: string[] = [];
    await expect(listThreads(stub(["m1,2,3"], asked), { maxThreads: 30 })).rejects.toMatchObject({
      message: "Cannot list the threads: the list does not end",
    });
    expect(asked.length).toBe(11);
    asked.length = 0;
    await expect(listThreads(stub(["m1"], asked), { maxPieces: 5 })).rejects.toMatchObject({ code: "protocol-error" });
    expect(asked.length).toBe(6);
  });
});

describe("qThreadExtraInfo", () => {
  const read = (reply: string): Reply<string> => threadExtraInfo(thread(1n, 1n)).decode(wire(reply));

  it("names the thread", () => expect(threadExtraInfo(thread(1n, 1n)).payload).toBe("qThreadExtraInfo,p1.1"));

  it("reads what QEMU says of a vCPU", () => {
    expect(read("4350552330205b72756e6e696e675d")).toEqual({ kind: "ok", value: "CPU#0 [running]" });
  });

  it("makes escape sequences visible", () => {
    expect(read("411b5b324a0a")).toEqual({ kind: "ok", value: "A\\x1b[2J\\x0a" });
  });

  it("takes what is no hex, or too long, for malformed", () => {
    expect(read("CPU").kind).toBe("malformed");
    expect(read("435").kind).toBe("malformed");
    expect(read("41".repeat(3000)).kind).toBe("malformed");
  });

  it("is unsupported or an error when the stub says so", () => {
    expect(read("")).toEqual({ kind: "unsupported" });
    expect(read("E22").kind).toBe("error");
  });
});
