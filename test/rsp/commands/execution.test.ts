import { describe, expect, it } from "vitest";
import {
  detach,
  haltReason,
  KILL_PAYLOAD,
  killProcess,
  type ResumeRequest,
  resumePayload,
  selectThread,
  threadAlive,
  type VContAction,
  vContActions,
  vContPayload,
} from "../../../src/rsp/commands/execution.ts";
import { ALL_THREADS, ANY_THREAD } from "../../../src/rsp/commands/thread-id.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");
const usage = expect.objectContaining({ code: "usage" });
const CPU_1 = { process: undefined, thread: 1n };
const P1_2 = { process: 1n, thread: 2n };

describe("resumePayload", () => {
  it.each<[ResumeRequest, string]>([
    [{ kind: "continue" }, "c"],
    [{ kind: "continue", address: 0x4000_0000n }, "c40000000"],
    [{ kind: "continue", signal: 5 }, "C05"],
    [{ kind: "continue", signal: 11, address: 0x10 }, "C0b;10"],
    [{ kind: "step" }, "s"],
    [{ kind: "step", address: 0n }, "s0"],
    [{ kind: "step", signal: 0 }, "S00"],
    [{ kind: "step", signal: 0x8f, address: 0x1000n }, "S8f;1000"],
    [{ kind: "step", thread: CPU_1 }, "vCont;s:1"],
    [{ kind: "continue", thread: P1_2 }, "vCont;c:p1.2"],
    [{ kind: "continue", thread: ALL_THREADS, signal: 9 }, "vCont;C09:-1"],
    [{ kind: "reverse-continue" }, "bc"],
    [{ kind: "reverse-step" }, "bs"],
  ])("writes %o as %s", (request, payload) => expect(resumePayload(request)).toBe(payload));

  it.each<ResumeRequest>([
    { kind: "step", thread: CPU_1, address: 0n },
    { kind: "continue", signal: 256 },
    { kind: "continue", signal: -1 },
    { kind: "continue", signal: 1.5 },
    { kind: "continue", address: -1n },
    { kind: "step", thread: { process: "all", thread: 1n } },
  ])("refuses %o", (request) => expect(() => resumePayload(request)).toThrowError(usage));
});

describe("vContPayload", () => {
  it.each<[readonly VContAction[], string]>([
    [[{ kind: "continue" }], "vCont;c"],
    // What gdb sends to step one vCPU of a QEMU while the others run.
    [
      [
        { kind: "step", thread: { process: 1n, thread: 1n } },
        { kind: "continue", thread: { process: 1n, thread: "all" } },
      ],
      "vCont;s:p1.1;c:p1.-1",
    ],
    [
      [
        { kind: "step", signal: 5 },
        { kind: "stop", thread: P1_2 },
      ],
      "vCont;S05;t:p1.2",
    ],
    [[{ kind: "range-step", start: 0x1000n, end: 0x1010n, thread: CPU_1 }], "vCont;r1000,1010:1"],
  ])("writes %o as %s", (actions, payload) => expect(vContPayload(actions)).toBe(payload));

  it("refuses no action: QEMU never answers that", () => expect(() => vContPayload([])).toThrowError(usage));
});

describe("vCont?", () => {
  it.each<[string, string[]]>([
    ["vCont;c;C;s;S", ["c", "C", "s", "S"]],
    ["vCont;c;C;t;s;S;r", ["c", "C", "t", "s", "S", "r"]],
    ["vCont", []],
    ["vCont;c;;s;", ["c", "s"]],
  ])("reads %s", (reply, actions) => {
    expect(vContActions().decode(wire(reply))).toEqual({ kind: "ok", value: new Set(actions) });
  });

  it.each(["vCont?", "OK", "c;s", "vContc", `vCont;${"c;".repeat(1000)}`])("takes %.20s for malformed", (reply) => {
    expect(vContActions().decode(wire(reply)).kind).toBe("malformed");
  });

  it("is unsupported when the reply is empty", () => {
    expect(vContActions().decode(wire(""))).toEqual({ kind: "unsupported" });
  });
});

describe("?", () => {
  it("may be answered with a stop reply", () => {
    expect(haltReason().payload).toBe("?");
    expect(haltReason().expectsStop).toBe(true);
    expect(haltReason().decode(wire("T05thread:p01.01;"))).toMatchObject({
      kind: "ok",
      value: { kind: "signal", signal: 5, thread: "p01.01", threadId: { process: 1n, thread: 1n } },
    });
    expect(haltReason().decode(wire("W07"))).toMatchObject({ kind: "ok", value: { kind: "exited", status: 7 } });
  });

  it("is unsupported, an error or malformed when it is answered with something else", () => {
    expect(haltReason().decode(wire(""))).toEqual({ kind: "unsupported" });
    expect(haltReason().decode(wire("E22"))).toEqual({ kind: "error", code: 0x22, text: "E22" });
    expect(haltReason().decode(wire("OK")).kind).toBe("malformed");
  });
});

describe("H, T, D, vKill and k", () => {
  it.each<[{ readonly payload: string | Uint8Array }, string]>([
    [selectThread("g", { process: 1n, thread: 1n }), "Hgp1.1"],
    [selectThread("g", ANY_THREAD), "Hg0"],
    [selectThread("c", ALL_THREADS), "Hc-1"],
    [threadAlive(P1_2), "Tp1.2"],
    [detach(), "D"],
    [detach(1n), "D;1"],
    [detach(0x9cd), "D;9cd"],
    [killProcess(0x9cdn), "vKill;9cd"],
    [{ payload: KILL_PAYLOAD }, "k"],
  ])("%# goes out as %s", ({ payload }, text) => expect(payload).toBe(text));

  it("are done with OK only; a dead thread is an error", () => {
    for (const { decode } of [selectThread("g", CPU_1), threadAlive(CPU_1), detach(), killProcess(1)]) {
      expect(decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
      expect(decode(wire("E22"))).toEqual({ kind: "error", code: 0x22, text: "E22" });
      expect(decode(wire(""))).toEqual({ kind: "unsupported" });
      expect(decode(wire("T05")).kind).toBe("malformed");
    }
  });
});
