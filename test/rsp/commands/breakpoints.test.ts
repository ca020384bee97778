import { describe, expect, it } from "vitest";
import { type BreakpointType, insertBreakpoint, removeBreakpoint } from "../../../src/rsp/commands/breakpoints.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");

describe("Z and z", () => {
  it.each<[BreakpointType, number, string]>([
    ["software", 4, "0,40000000,4"],
    ["hardware", 4, "1,40000000,4"],
    ["write", 0x1000, "2,40000000,1000"],
    ["read", 8, "3,40000000,8"],
    ["access", 1, "4,40000000,1"],
  ])("%s of kind %i goes out as %s", (type, kind, rest) => {
    const request = { type, address: 0x4000_0000n, kind };
    expect(insertBreakpoint(request).payload).toBe(`Z${rest}`);
    expect(removeBreakpoint(request).payload).toBe(`z${rest}`);
  });

  it("are done with OK; a type that the stub does not have is unsupported", () => {
    const request = { type: "write", address: 0, kind: 8 } as const;
    for (const { decode } of [insertBreakpoint(request), removeBreakpoint(request)]) {
      expect(decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
      expect(decode(wire(""))).toEqual({ kind: "unsupported" });
      expect(decode(wire("E22"))).toEqual({ kind: "error", code: 0x22, text: "E22" });
      expect(decode(wire("E.no more watchpoints"))).toMatchObject({ kind: "error", code: undefined });
      expect(decode(wire("S05")).kind).toBe("malformed");
    }
  });

  it("say what they do", () => {
    const { label } = insertBreakpoint({ type: "access", address: 0xffff_0000n, kind: 8 });
    expect(typeof label === "function" ? label() : label).toBe("inserting an access watchpoint at 0xffff0000");
  });

  it.each([
    { address: -1n, kind: 4 },
    { address: 2n ** 64n, kind: 4 },
    { address: 0n, kind: -1 },
    { address: 0n, kind: 0.5 },
  ])("refuse %o", (place) => {
    expect(() => insertBreakpoint({ type: "software", ...place })).toThrowError(
      expect.objectContaining({ code: "usage" }),
    );
  });
});
