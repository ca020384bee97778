/** Expressions over a stop: their registers, fields, memory and places. */
import { hostExtensions } from "../aarch64/machine-state.ts";
import { decodeFields } from "../aarch64/registers/index.ts";
import type { Registers } from "../base/registers.ts";
import type { Value } from "../plan/expression/evaluate.ts";
import { type Expression, parseExpression, type Scope } from "../plan/expression/expression.ts";
import type { BreakpointOptions, Decide } from "./breakpoint.ts";
import type { Stop } from "./stop.ts";

/** Finds the address that a name in an expression stands for. */
export type FindName = (name: string) => Promise<bigint | undefined>;

/** The value of an expression at a stop. */
export async function valueAt(expression: Expression, stop: Stop, find: FindName): Promise<Value> {
  return expression.evaluate(await scopeOf(expression, stop, find));
}

/** What decides whether an arrival is a hit. Raises `bad-expression`. */
export function decision(condition: BreakpointOptions["condition"], find: FindName): Decide {
  if (condition === undefined) return async () => true;
  if (typeof condition === "function") return async (stop) => condition(stop);
  const expression = typeof condition === "string" ? parseExpression(condition) : condition;
  return async (stop) => {
    const value = await valueAt(expression, stop, find);
    return value.state === "unknown" ? undefined : value.value !== 0n;
  };
}

async function scopeOf(expression: Expression, stop: Stop, find: FindName): Promise<Scope> {
  const registers = await registersFor(expression, stop);
  return {
    register: (name) => registers.get(name),
    field: (register, field) => fieldOf(registers, register, field),
    place: find,
    async memory(address, size) {
      const read = await stop.memory(address, size);
      return read.state === "present" ? littleEndian(read.bytes) : undefined;
    },
  };
}

/** What the layout of a register's fields may depend on. */
const LAYOUT = "HCR_EL2";

/** The general registers are at hand; others take a round trip. */
async function registersFor({ registers }: Expression, stop: Stop): Promise<Registers> {
  const isGeneral = (name: string): boolean => stop.general.get(name) !== undefined;
  return [...registers].every(isGeneral) ? stop.general : stop.registersNamed(new Set([...registers, LAYOUT]));
}

function fieldOf(registers: Registers, register: string, field: string): bigint | undefined {
  const value = registers.get(register);
  if (value === undefined) return undefined;
  const fields = decodeFields(register, value, { e2h: hostExtensions(registers) });
  return fields.find((each) => each.name === field)?.value;
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
