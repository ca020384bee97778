/**
 * The addresses that a pointer was loaded from, worked out from the registers at the fault.
 *
 * A register still holds what it held at an instruction when nothing between there and the branch wrote it. What was overwritten is worked
 * out again: forwards where the change can be undone (x9 += 16), backwards from what defined it, through memory as it is at the fault.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import type { MemoryRead, VirtMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import {
  type Decoded,
  extended,
  LINK,
  type MemoryOperand,
  mayWriteRegister,
  type Operation,
  type RegisterNumber,
  registerName,
} from "./operation.ts";
import type { Origin } from "./origin.ts";

/** A value with what it rests on, or why there is none. */
export type Value =
  | {
      readonly known: true;
      readonly value: bigint;
      /** Read from memory as it is at the fault, and registers taken to be as the called function found them. */
      readonly assumes: readonly string[];
    }
  | { readonly known: false; readonly why: string };

export interface EvaluatedStep {
  readonly address: VirtAddr;
  readonly register: RegisterNumber;
  readonly operation: Operation;
  /** The address that a load read from; undefined for what is no load. */
  readonly loadedFrom: Value | undefined;
}

export interface OriginValue {
  /** One for each step of the origin, in its order. */
  readonly steps: readonly EvaluatedStep[];
  /** The address that the target itself was loaded from: of the first load. */
  readonly loadedFrom: Value | undefined;
  /** The target worked out again from what the steps say. */
  readonly recomputed: Value;
  /** The register's own value at the fault, when it still holds it. */
  readonly target: Value;
  /** Whether both are the same; null when one is not known. */
  readonly agrees: boolean | null;
}

export interface EvaluateOptions {
  /**
   * `at-branch`: the registers are those of the branch (the fault was at the first instruction it went to). `callee-saved`: code ran
   * since, and only what AAPCS64 makes a function keep (x19 … x29, SP) is taken to be as it was.
   */
  readonly registers: "at-branch" | "callee-saved";
  /** What registers held at the first instruction of the block, where that is known otherwise. */
  readonly entry?: (register: RegisterNumber) => Value | undefined;
  /** Takes a pointer authentication code off. */
  readonly strip?: (address: bigint) => VirtAddr;
}

/** Evaluates each step of `origin`. Never rejects but for the machine being lost. */
export async function evaluateOrigin(
  origin: Origin,
  registers: Registers,
  memory: VirtMemory,
  options: EvaluateOptions,
): Promise<OriginValue> {
  const evaluator = new Evaluator(origin, registers, memory, options);
  const steps: EvaluatedStep[] = [];
  for (const { address, register, operation } of origin.steps) {
    steps.push({ address, register, operation, loadedFrom: await evaluator.loadAddress(address, operation) });
  }
  const last = origin.block.instructions.length - 1;
  const target = evaluator.held(origin.register, last);
  const recomputed = (await evaluator.redefined(origin.register, last)) ?? unknown("it was set before the block");
  const agrees = target.known && recomputed.known ? evaluator.same(target.value, recomputed.value) : null;
  return { steps, loadedFrom: steps.find((each) => each.loadedFrom)?.loadedFrom, recomputed, target, agrees };
}

/** What a register held at the first instruction of the origin's block, when it can be told from the registers at the fault. */
export function heldAtStart(
  origin: Origin,
  registers: Registers,
  register: RegisterNumber,
  options: EvaluateOptions,
): Value {
  return new Evaluator(origin, registers, NO_MEMORY, options).held(register, 0);
}

const NO_MEMORY: VirtMemory = {
  read: async (spans) => spans.map(() => ({ state: "unreadable", code: "not-captured" })),
};

class Evaluator {
  readonly #instructions: readonly Decoded[];
  readonly #registers: Registers;
  readonly #memory: VirtMemory;
  readonly #options: EvaluateOptions;
  readonly #known = new Map<string, Promise<Value>>();

  constructor({ block }: Origin, registers: Registers, memory: VirtMemory, options: EvaluateOptions) {
    this.#instructions = block.instructions;
    this.#registers = registers;
    this.#memory = memory;
    this.#options = options;
  }

  same(a: bigint, b: bigint): boolean {
    return a === b || this.#strip(a) === this.#strip(b);
  }

  async loadAddress(address: VirtAddr, operation: Operation): Promise<Value | undefined> {
    const index = this.#instructions.findIndex((each) => each.address === address);
    if (operation.kind === "load-literal") return known(operation.at);
    return operation.kind === "load" ? this.#effective(operation.from, index) : undefined;
  }

  /** What a register held before the instruction at `index`, if it is known at the fault still. */
  held(register: RegisterNumber, index: number): Value {
    const writer = this.#nextWriter(register, index);
    if (writer === undefined) return this.#atFault(register);
    const { writes, address } = this.#instructions[writer] as Decoded;
    const operation = writes.find((each) => each.register === register)?.operation;
    if (operation?.kind !== "add" || operation.from !== register) {
      return unknown(`${registerName(register)} was overwritten at 0x${address.toString(16)}`);
    }
    return change(this.held(register, writer + 1), (value) => value - operation.amount);
  }

  /** What the block's instructions before `index` make of a register, whether or not it holds it still; undefined when nothing does. */
  async redefined(register: RegisterNumber, index: number): Promise<Value | undefined> {
    for (let i = index - 1; i >= 0; i--) {
      const instruction = this.#instructions[i] as Decoded;
      const write = instruction.writes.find((each) => each.register === register);
      if (write !== undefined) return this.#result(write.operation, i);
      if (mayWriteRegister(instruction, register)) return unknown(`${registerName(register)} may have been written`);
    }
    return this.#options.entry?.(register);
  }

  /** What a register held before the instruction at `index`, by either way. */
  #before(register: RegisterNumber, index: number): Promise<Value> {
    const key = `${register}:${index}`;
    const started = this.#known.get(key) ?? this.#lookBefore(register, index);
    this.#known.set(key, started);
    return started;
  }

  async #lookBefore(register: RegisterNumber, index: number): Promise<Value> {
    const held = this.held(register, index);
    if (held.known) return held;
    return (await this.redefined(register, index)) ?? held;
  }

  /** The first instruction from `index` on that writes the register, the branch included. */
  #nextWriter(register: RegisterNumber, index: number): number | undefined {
    for (let i = index; i < this.#instructions.length; i++) {
      const instruction = this.#instructions[i] as Decoded;
      if (mayWriteRegister(instruction, register)) return i;
      if (instruction.writes.some((each) => each.register === register)) return i;
    }
    return undefined;
  }

  #atFault(register: RegisterNumber): Value {
    const name = registerName(register);
    const kept = register >= 19 && register !== LINK;
    const sure = this.#options.registers === "at-branch";
    if (!sure && !kept) return unknown(`${name} may have been overwritten since the branch`);
    const value = this.#registers.get(name);
    if (value === undefined) return unknown(`${name} is not known`);
    return known(value, sure ? [] : [`${name} is as it was at the branch`]);
  }

  async #result(operation: Operation, index: number): Promise<Value> {
    switch (operation.kind) {
      case "constant":
        return known(operation.value);
      case "copy":
        return this.#before(operation.from, index);
      case "add":
        return change(await this.#before(operation.from, index), (value) => value + operation.amount);
      case "insert": {
        const { value: part, shift } = operation;
        const mask = 0xffffn << BigInt(shift);
        return change(await this.#before(operation.from, index), (old) => (old & ~mask) | (part << BigInt(shift)));
      }
      case "authenticate":
        return change(await this.#before(operation.from, index), (value) => this.#strip(value));
      case "load-literal":
        return this.#load(known(operation.at), operation.size, operation.signed);
      case "load":
        return this.#load(await this.#effective(operation.from, index), operation.size, operation.signed);
      case "computed":
        return unknown("it was computed by an instruction that is not followed");
    }
  }

  async #effective(from: MemoryOperand, index: number): Promise<Value> {
    const base = await this.#before(from.base, index);
    const start = from.authenticated ? change(base, (value) => this.#strip(value)) : base;
    const moved = change(start, (value) => value + from.offset);
    if (from.index === undefined || from.index.register === "zero" || !moved.known) return moved;
    const { register, extend, shift } = from.index;
    const by = await this.#before(register, index);
    if (!by.known) return by;
    const sum = moved.value + (extended(by.value, extend) << BigInt(shift));
    return known(BigInt.asUintN(64, sum), [...moved.assumes, ...by.assumes]);
  }

  async #load(at: Value, size: number, signed: boolean): Promise<Value> {
    if (!at.known) return at;
    const [read] = await this.#memory.read([{ address: virt(at.value), length: size }]);
    if (read?.state !== "present") return unknown(`memory at 0x${at.value.toString(16)}: ${read?.code}`);
    const value = littleEndian(read, size, signed);
    return known(value, [...at.assumes, `memory at 0x${at.value.toString(16)} is as it was`]);
  }

  #strip(address: bigint): VirtAddr {
    return this.#options.strip?.(address) ?? virt(address);
  }
}

function known(value: bigint, assumes: readonly string[] = []): Value {
  return { known: true, value, assumes };
}

function unknown(why: string): Value {
  return { known: false, why };
}

function change(value: Value, by: (value: bigint) => bigint): Value {
  return value.known ? known(BigInt.asUintN(64, by(value.value)), value.assumes) : value;
}

function littleEndian({ bytes }: MemoryRead & { state: "present" }, size: number, signed: boolean): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return BigInt.asUintN(64, signed ? BigInt.asIntN(size * 8, value) : value);
}
