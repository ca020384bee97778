/**
 * Faults made up on a real capture: test/fixtures/boot-service.ebs (AAVMF at EL1, identity mapped) with other registers and other words in memory.
 * Places in it, from `ebscope explain` and the Arm ARM by hand: code of the guest at CODE (read-only, executable), its stack at STACK (writable,
 * execute-never), the vectors at VBAR.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { phys } from "../../../src/base/address.ts";
import type { MemoryRead } from "../../../src/base/memory.ts";
import type { RegisterRead } from "../../../src/base/registers.ts";
import { type Finding, findingsOf, type RuleName } from "../../../src/diagnose/findings.ts";
import type { Facts } from "../../../src/diagnose/rules/rule.ts";
import { studyCapture } from "../../../src/diagnose/study.ts";
import { diffPoints } from "../../../src/diff/diff.ts";
import type { Capture, Point } from "../../../src/snapshot/model.ts";
import { readCapture } from "../../../src/snapshot/store.ts";

export const CAPTURE = await readCapture(
  join(fileURLToPath(new URL("../../..", import.meta.url)), "test/fixtures/boot-service.ebs"),
);

export const CODE = 0x7c41_2100n;
export const STACK = 0x4773_ab10n;
/** A page that is writable and execute-never, in a block of level 2. */
export const DATA = 0x7ec9_7000n;
export const VBAR = 0x7faf_3800n;
export const SYSTEM_TABLE = 0x7ffd_0018n;
export const BOOT_SERVICES = 0x4775_41d8n;
/** Behind the end of RAM (1 GiB from 0x40000000): mapped nowhere. */
export const NOWHERE = 0x9000_0000n;
/** Tables of level 3: of VA 0, of the guest's code and RealTimeClock's, of the stack. */
export const TABLE_OF_NULL = 0x47ff_a000n;
export const TABLE_OF_CODE = 0x7ecf_f000n;
export const TABLE_OF_STACK = 0x4771_a000n;
/** gRT->GetTime; its page is entry 80 of TABLE_OF_CODE, 0x7c45070f after the exit. */
export const GET_TIME = 0x7c45_0730n;

export type Change = (capture: Capture) => Capture;

export function changed(...changes: readonly Change[]): Capture {
  return changes.reduce((capture, change) => change(capture), CAPTURE);
}

export function atPoint(id: string, change: (point: Point) => Point): Change {
  return (capture) => ({
    ...capture,
    points: capture.points.map((point) => (point.id === id ? change(point) : point)),
  });
}

/** Sets registers of all vCPUs at a point; `undefined` makes one unreadable. */
export function registers(id: string, values: Readonly<Record<string, bigint | undefined>>): Change {
  return (capture) => {
    const indices = new Map(capture.registers.map(({ name }, i) => [name, i]));
    const reads = new Map<number, RegisterRead>();
    for (const [name, value] of Object.entries(values)) {
      const index = indices.get(name);
      if (index === undefined) throw new Error(`the capture has no register ${name}`);
      reads.set(index, registerRead(value, capture.registers[index]?.bits ?? 64));
    }
    return atPoint(id, (point) => ({
      ...point,
      registers: point.registers.map((row) => row.map((read, i) => reads.get(i) ?? read)),
    }))(capture);
  };
}

function registerRead(value: bigint | undefined, width: number): RegisterRead {
  if (value === undefined) return { state: "unreadable" };
  const bytes = new Uint8Array(Math.ceil(width / 8));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return { state: "present", bytes };
}

/** Adds a register that the stub does not offer in the capture. */
export function offered(name: string, value: bigint): Change {
  return (capture) => ({
    ...capture,
    registers: [...capture.registers, { name, stubName: name, number: 9999, bits: 64, feature: "" }],
    points: capture.points.map((point) => ({
      ...point,
      registers: point.registers.map((row) => [...row, registerRead(value, 64)]),
    })),
  });
}

/** Overwrites memory at a point; a page that was not captured is zeros before. */
export function bytes(id: string, address: bigint, content: Uint8Array): Change {
  return atPoint(id, (point) => {
    const page = phys(address & ~0xfffn);
    const old = point.pages.get(page);
    const now = old?.state === "present" ? Uint8Array.from(old.bytes) : new Uint8Array(4096);
    now.set(content, Number(address & 0xfffn));
    return { ...point, pages: new Map(point.pages).set(page, { state: "present", bytes: now }) };
  });
}

export function words(id: string, address: bigint, ...content: readonly number[]): Change {
  return bytes(id, address, new Uint8Array(Uint32Array.from(content).buffer));
}

export function doubleWord(id: string, address: bigint, content: bigint): Change {
  return bytes(id, address, new Uint8Array(BigUint64Array.of(content).buffer));
}

/** Words of code that are the same at all points that have the page: memory that changes after the exit is no image's any more. */
export function code(address: bigint, ...content: readonly number[]): Change {
  return (capture) =>
    capture.points
      .filter(({ pages }) => pages.get(phys(address & ~0xfffn))?.state === "present")
      .reduce((result, { id }) => words(id, address, ...content)(result), capture);
}

/** Entries of a table at a point, each made from its index. */
export function entries(
  id: string,
  table: bigint,
  from: number,
  count: number,
  entry: (index: number) => bigint,
): Change {
  const content = BigUint64Array.from({ length: count }, (_, i) => entry(from + i));
  return bytes(id, table + BigInt(from * 8), new Uint8Array(content.buffer));
}

export function missingPage(id: string, address: bigint): Change {
  const lost: MemoryRead = { state: "unreadable", code: "read-failed" };
  return atPoint(id, (point) => ({ ...point, pages: new Map(point.pages).set(phys(address & ~0xfffn), lost) }));
}

/** ESR_ELx of an exception class; IL is 1. */
export function syndrome(ec: number, iss: number): bigint {
  return (BigInt(ec) << 26n) | 0x0200_0000n | BigInt(iss);
}

/** A fault at CODE, where `instruction` stands. */
export function fault(
  esr: bigint,
  instruction: number,
  more: Readonly<Record<string, bigint | undefined>> = {},
): Change {
  return (capture) => code(CODE, instruction)(registers("fault", { ESR_EL1: esr, ELR_EL1: CODE, ...more })(capture));
}

/** LDR X0, [X0] */
export const LOAD = 0xf940_0000;
/** STR X1, [X0] */
export const STORE = 0xf900_0001;

export const WRITE = 0x40;

/** A data abort of LDR X0, [X0] or STR X1, [X0] at CODE. */
export function dataAbort(iss: number, far: bigint, more: Readonly<Record<string, bigint | undefined>> = {}): Change {
  const instruction = (iss & WRITE) === 0 ? LOAD : STORE;
  return fault(syndrome(0x25, iss), instruction, { FAR_EL1: far, x0: far, ...more });
}

/** An instruction abort at `target`, where the call through x8 at 0x7c412850 of the capture led. */
export function badCall(iss: number, target: bigint): Change {
  return registers("fault", { ESR_EL1: syndrome(0x21, iss), ELR_EL1: target, FAR_EL1: target, x8: target });
}

/** The point `fault` as a point `later`, where the vCPU does something harmless. */
export function later(capture: Capture): Capture {
  return atPoint("fault", (point) => ({ ...point, id: "later", kind: "later" }))(
    registers("fault", { pc: CODE })(capture),
  );
}

export async function factsOf(capture: Capture): Promise<Facts> {
  const study = await studyCapture(capture, "none");
  const [from, to] = ["before", "after"].map((id) => capture.points.find((point) => point.id === id));
  if (from === undefined || to === undefined) return { study, difference: undefined };
  return { study, difference: await diffPoints(capture, study.images, from, to) };
}

export async function findings(capture: Capture): Promise<readonly Finding[]> {
  const { study, difference } = await factsOf(capture);
  return findingsOf(study, difference);
}

/** The finding of a rule; undefined when the rule is silent. */
export async function finding(rule: RuleName, ...changes: readonly Change[]): Promise<Finding | undefined> {
  return (await findings(changed(...changes))).find((each) => each.rule === rule);
}
