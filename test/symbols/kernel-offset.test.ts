import { describe, expect, it } from "vitest";
import { kernelOffset, kernelOffsetInLog } from "../../src/symbols/kernel-offset.ts";
import { parsed } from "./files.ts";

function registers(values: Record<string, bigint>) {
  return { get: (name: string) => values[name] };
}

const LINUX = (
  await parsed("ffff800008000000 T _text\nffff800008010800 T vectors\nffff800008012800 T __bp_harden_el1_vectors\n")
).symbols;
const XEN = (await parsed("0000000000200000 T _start\n0000000000257800 T hyp_traps_vector\n")).symbols;

describe("the offset of a kernel", () => {
  it("is how far its vectors lie from where they were linked", () => {
    // Linux 6.1 of Debian as dom0 of Xen 4.17, seen under QEMU.
    expect(kernelOffset(LINUX, registers({ VBAR_EL1: 0xffffbef2e9610800n, VBAR_EL2: 0x257800n }))).toEqual({
      offset: 0x3ef2_e160_0000n,
      register: "VBAR_EL1",
      symbol: "vectors",
    });
  });

  it("is 0 for a kernel where it was linked", () => {
    expect(kernelOffset(LINUX, registers({ VBAR_EL1: 0xffff800008010800n }))?.offset).toBe(0n);
  });

  it("may be told by the vectors that guard against branch history", () => {
    expect(kernelOffset(LINUX, registers({ VBAR_EL1: 0xffff800008212800n }))).toMatchObject({
      offset: 0x20_0000n,
      symbol: "__bp_harden_el1_vectors",
    });
  });

  it("is told by VBAR_EL2 for a kernel that runs at EL2", () => {
    expect(kernelOffset(LINUX, registers({ VBAR_EL1: 0n, VBAR_EL2: 0xffff800008410800n }))).toMatchObject({
      offset: 0x40_0000n,
      register: "VBAR_EL2",
    });
  });

  it("may be negative", () => {
    expect(kernelOffset(LINUX, registers({ VBAR_EL1: 0xffff800007e10800n }))?.offset).toBe(-0x20_0000n);
  });

  it("is not known while the firmware's vectors are in force, or those of something else", () => {
    for (const vectors of [0x7faf3800n, 0n, 0xffff800008010000n, 0xffff800008011800n]) {
      expect(kernelOffset(LINUX, registers({ VBAR_EL1: vectors, VBAR_EL2: vectors }))).toBeUndefined();
    }
    expect(kernelOffset(LINUX, registers({}))).toBeUndefined();
  });

  it("is 0 for Xen once its own vectors are in force, and not known before", () => {
    expect(kernelOffset(XEN, registers({ VBAR_EL2: 0x257800n }))).toEqual({
      offset: 0n,
      register: "VBAR_EL2",
      symbol: "hyp_traps_vector",
    });
    expect(kernelOffset(XEN, registers({ VBAR_EL2: 0x7faf3800n }))).toBeUndefined();
  });
});

describe("the offset in a log", () => {
  it("is what Linux prints when it panics", () => {
    const log = "[    9.1] SMP: stopping\n[    9.2] Kernel Offset: 0x3ef2e1600000 from 0xffff800008000000\n";
    expect(kernelOffsetInLog(log)).toBe(0x3ef2_e160_0000n);
    expect(kernelOffsetInLog("Kernel Offset: disabled\n")).toBe(0n);
    expect(kernelOffsetInLog("no panic here")).toBeUndefined();
  });
});
