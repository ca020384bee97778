/**
 * QEMU's own queries.
 *
 * Source: QEMU's docs/system/gdb.rst (Changing single-stepping behaviour, Examining physical memory), and gdbstub.c for `qqemu.Supported`,
 * which the document does not mention. User-mode emulation has no physical memory mode.
 *
 * Quirks: the modes belong to the QEMU process: they outlive the connection and hold for every vCPU. Values are hex; the document writes
 * them with `0x`, and so does QEMU's answer for the mask, while the bits come without.
 */
import type { Command } from "../command.ts";
import { badArgument, type Done, decodeDone, decodeText, smallHex } from "./wire.ts";

const MAX_TEXT = 1000;

/** `qqemu.Supported`: what there is (`sstepbits`, `sstep`, `PhyMemMode`). */
export function qemuSupported(): Command<ReadonlySet<string>> {
  return {
    payload: "qqemu.Supported",
    label: "asking for QEMU's queries",
    decode: (reply) =>
      decodeText(reply, MAX_TEXT, (text) => (/^\w+(;\w+)*$/.test(text) ? new Set(text.split(";")) : undefined)),
  };
}

/** `qqemu.sstepbits`: the bits of the single-step mask by name: `ENABLE`, `NOIRQ` (no interrupts in a step), `NOTIMER` (no timers). */
export function singleStepBits(): Command<ReadonlyMap<string, number>> {
  return {
    payload: "qqemu.sstepbits",
    label: "asking for the single-step bits",
    decode: (reply) => decodeText(reply, MAX_TEXT, namedBits),
  };
}

function namedBits(text: string): ReadonlyMap<string, number> | undefined {
  const bits = new Map<string, number>();
  for (const item of text.split(",")) {
    const [, name = "", digits = ""] = /^(\w+)=([0-9a-f]+)$/i.exec(item) ?? [];
    const value = smallHex(digits);
    if (value === undefined) return undefined;
    bits.set(name, value);
  }
  return bits;
}

/** `qqemu.sstep`: the single-step mask in force. */
export function singleStepMask(): Command<number> {
  return {
    payload: "qqemu.sstep",
    label: "asking for the single-step mask",
    decode: (reply) => decodeText(reply, MAX_TEXT, (text) => smallHex(text.replace(/^0x/i, ""))),
  };
}

/** `Qqemu.sstep=`: bits of `singleStepBits`; others are an `error`. */
export function setSingleStepMask(mask: number): Command<Done> {
  if (!Number.isInteger(mask) || mask < 0 || mask > 0xffff_ffff) throw badArgument(`${mask} is no single-step mask`);
  return { payload: `Qqemu.sstep=0x${mask.toString(16)}`, label: "setting the single-step mask", decode: decodeDone };
}

/** `qqemu.PhyMemMode`: whether memory packets take physical addresses. */
export function physicalMemoryMode(): Command<boolean> {
  return {
    payload: "qqemu.PhyMemMode",
    label: "asking for the physical memory mode",
    decode: (reply) => decodeText(reply, 1, (text) => (text === "0" || text === "1" ? text === "1" : undefined)),
  };
}

/** `Qqemu.PhyMemMode:`; to be put back before the connection ends. */
export function setPhysicalMemoryMode(physical: boolean): Command<Done> {
  return {
    payload: `Qqemu.PhyMemMode:${physical ? "1" : "0"}`,
    label: "switching physical memory mode",
    decode: decodeDone,
  };
}
