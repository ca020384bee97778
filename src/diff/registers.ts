/** What changed in the registers, by field. */

import { hostExtensions } from "../aarch64/machine-state.ts";
import { type DecodedField, decodeFields, type RegisterClass, registerClass } from "../aarch64/registers/index.ts";
import { littleEndianValue, type RegisterRead } from "../base/registers.ts";
import { type Capture, type Point, pointRegisters } from "../snapshot/model.ts";

export interface FieldChange {
  readonly name: string;
  readonly before: bigint;
  readonly after: bigint;
  /** What the field's new value means, or what the field is. */
  readonly meaning: string;
}

export interface RegisterChange {
  readonly cpu: number;
  readonly name: string;
  readonly class: RegisterClass;
  /** Undefined when it could not be read. */
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
  readonly fields: readonly FieldChange[];
}

/** Whether the register is known on both sides: one that could not be read on a side has not been seen to change. */
export function isKnownChange({ before, after }: RegisterChange): boolean {
  return before !== undefined && after !== undefined;
}

/** Every register of every vCPU that differs, in the order of the vCPUs and of the stub's register list. */
export function diffRegisters(capture: Capture, before: Point, after: Point): readonly RegisterChange[] {
  return capture.threads.flatMap((_, cpu) => {
    const e2h = hostExtensions(pointRegisters(capture, after, cpu));
    return capture.registers.flatMap(({ name }, i): RegisterChange[] => {
      const old = readValue(before.registers[cpu]?.[i]);
      const now = readValue(after.registers[cpu]?.[i]);
      if (old === now) return [];
      const fields = old === undefined || now === undefined ? [] : changedFields(name, old, now, e2h);
      return [{ cpu, name, class: registerClass(name), before: old, after: now, fields }];
    });
  });
}

function readValue(read: RegisterRead | undefined): bigint | undefined {
  return read?.state === "present" ? littleEndianValue(read.bytes) : undefined;
}

/** Fields are compared by their bits: a register whose layout changed with its value shows the fields of both. */
export function changedFields(name: string, before: bigint, after: bigint, e2h: boolean): FieldChange[] {
  const old = decodeFields(name, before, { e2h });
  return decodeFields(name, after, { e2h }).flatMap((field) => {
    const previous = old.find((each) => sameBits(each, field))?.value ?? bitsOf(before, field);
    if (previous === field.value) return [];
    return [{ name: field.name, before: previous, after: field.value, meaning: field.meaning }];
  });
}

function sameBits(a: DecodedField, b: DecodedField): boolean {
  return a.high === b.high && a.low === b.low;
}

function bitsOf(value: bigint, { high, low }: DecodedField): bigint {
  return (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
}
