/**
 * What a plan records of a hit, while the guest stands at it.
 *
 * Each part says for itself what could not be known: a register that the stub does not offer, memory that cannot be read, an address that
 * an expression does not come to.
 */
import { type RegisterClass, registerClass } from "../aarch64/registers/index.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { placeNote } from "../diagnose/place.ts";
import type { PointTrace } from "../diagnose/trace.ts";
import { MAX_RECORDED_BYTES, type PlanMemory, type PlanPoint, type PlanRecord } from "../plan/index.ts";
import type { CallArguments } from "./call-arguments.ts";
import { valueAt } from "./conditions.ts";
import type { FoundPlace } from "./places.ts";
import { quoted } from "./run-plan-check.ts";
import type { Session } from "./session.ts";
import type { Stop } from "./stop.ts";

/** The registers of a vCPU by their names; undefined: not to be known. */
export interface RecordedRegisters {
  readonly cpu: number;
  readonly values: ReadonlyMap<string, bigint | undefined>;
}

export interface RecordedMemory {
  readonly name: string;
  /** Undefined where the expression has no value. */
  readonly address: bigint | undefined;
  /** In bytes. */
  readonly length: bigint | undefined;
  /** `why`: nothing was read. */
  readonly read: MemoryRead | { readonly state: "unknown"; readonly why: string };
}

/** A write that was watched. */
export interface RecordedWrite {
  readonly address: bigint;
  readonly before: MemoryRead;
  readonly after: MemoryRead;
}

/** A hit of a point. What the plan does not ask for is undefined. */
export interface PlanHit {
  readonly kind: "hit";
  readonly point: string;
  /** From 1 on, of the hits at which the point's condition held. */
  readonly hit: number;
  /** ISO 8601. */
  readonly time: string;
  readonly cpu: number;
  readonly pc: bigint | undefined;
  /** The place of the plan that it is: `gBS->Stall`, `DxeCore+0x3160`, `write(0x…, 8)`. */
  readonly place: string;
  /** What is at the pc, of a write: image, section, symbol. Printable. */
  readonly at: string | undefined;
  /** Whether the point has a condition, which held. */
  readonly condition: "true" | undefined;
  readonly registers: readonly RecordedRegisters[] | undefined;
  readonly memory: readonly RecordedMemory[] | undefined;
  readonly written: RecordedWrite | undefined;
  readonly backtrace: PointTrace | undefined;
  /** What the function was called with; at a return too. */
  readonly arguments: CallArguments | undefined;
  /** What it returned: x0. */
  readonly returned: bigint | undefined;
  /** The id of the point of the capture that was taken. */
  readonly capture: string | undefined;
  readonly note: string | undefined;
}

/** What is known of a hit before anything is read for it. */
export interface HitContext {
  readonly point: PlanPoint;
  readonly place: FoundPlace;
  readonly hit: number;
  /** At a return: what the function was called with. */
  readonly call?: CallArguments | undefined;
  readonly capture: string | undefined;
}

export async function recordHit(session: Session, stop: Stop, context: HitContext): Promise<PlanHit> {
  const { point } = context;
  const { record } = point;
  return {
    ...hitAt(context, stop.cpu, stop.pc),
    at: stop.written === undefined ? undefined : await placeAt(stop),
    registers: await registersAt(session, stop, record),
    memory: record.memory.length === 0 ? undefined : await memoryAt(session, stop, record.memory),
    written: writtenAt(stop),
    backtrace: record.backtrace ? await stop.backtrace() : undefined,
    arguments: await argumentsAt(stop, context),
    returned: point.when === "return" ? stop.general.get("x0") : undefined,
  };
}

/** A hit of which nothing has been read yet. */
export function hitAt({ point, place, hit, capture }: HitContext, cpu: number, pc: bigint | undefined): PlanHit {
  return {
    kind: "hit",
    point: point.id,
    ...{ hit, cpu, pc, capture },
    time: new Date().toISOString(),
    place: place.name,
    condition: point.condition === undefined ? undefined : "true",
    note: point.note,
    ...{ at: undefined, registers: undefined, memory: undefined, written: undefined },
    ...{ backtrace: undefined, arguments: undefined, returned: undefined },
  };
}

async function placeAt(stop: Stop): Promise<string | undefined> {
  return stop.pc === undefined ? undefined : placeNote(await stop.place());
}

function writtenAt({ written }: Stop): RecordedWrite | undefined {
  if (written === undefined) return undefined;
  const { watch, before, after } = written;
  return { address: watch.address, before, after };
}

async function argumentsAt(stop: Stop, { point, call }: HitContext): Promise<CallArguments | undefined> {
  if (!point.record.arguments) return undefined;
  if (point.when === "return") return call;
  // At a vector and behind a write nothing has been called.
  return stop.breakpoint?.kind === "breakpoint" ? stop.arguments() : undefined;
}

/** `all` is of every vCPU, a list of the one that stopped. */
async function registersAt(
  session: Session,
  stop: Stop,
  { registers }: PlanRecord,
): Promise<readonly RecordedRegisters[] | undefined> {
  if (registers === "none") return undefined;
  if (registers === "all") {
    const names = session.target.info.registers.map(({ name }) => name);
    const cpus = Array.from({ length: session.cpus }, (_, cpu) => cpu);
    return Promise.all(cpus.map(async (cpu) => recorded(cpu, names, await stop.registers(cpu))));
  }
  const names = registerNames(session, registers);
  return [recorded(stop.cpu, names, await stop.registersNamed(new Set(names)))];
}

/** The registers of a list, in the order in which the stub has them. */
export function registerNames(session: Session, list: Exclude<PlanRecord["registers"], "none" | "all">): string[] {
  const classes = new Set<RegisterClass>(list.classes);
  const names = session.target.info.registers.map(({ name }) => name);
  return names.filter((name) => list.names.includes(name) || classes.has(registerClass(name)));
}

export function recorded(cpu: number, names: readonly string[], registers: Registers): RecordedRegisters {
  return { cpu, values: new Map(names.map((name) => [name, registers.get(name)])) };
}

async function memoryAt(session: Session, stop: Stop, ranges: readonly PlanMemory[]): Promise<RecordedMemory[]> {
  const found: RecordedMemory[] = [];
  let left = MAX_RECORDED_BYTES;
  for (const range of ranges) {
    const memory = await rangeAt(session, stop, range, left);
    if (memory.read.state !== "unknown") left -= memory.length ?? 0n;
    found.push(memory);
  }
  return found;
}

async function rangeAt(session: Session, stop: Stop, range: PlanMemory, left: bigint): Promise<RecordedMemory> {
  const find = addressIn(session);
  const [address, length] = [await valueAt(range.address, stop, find), await valueAt(range.length, stop, find)];
  const { name } = range;
  const unknown = (why: string): RecordedMemory => ({
    name,
    address: address.state === "known" ? address.value : undefined,
    length: length.state === "known" ? length.value : undefined,
    read: { state: "unknown", why },
  });
  if (address.state === "unknown") return unknown(address.why);
  if (length.state === "unknown") return unknown(length.why);
  if (length.value === 0n) return unknown("its length is 0");
  if (length.value > MAX_RECORDED_BYTES) return unknown("it is longer than 16 MiB");
  if (length.value > left) return unknown("the ranges of the point are longer than 16 MiB together");
  const read = await stop.memory(address.value, Number(length.value));
  return { name, address: address.value, length: length.value, read };
}

/** What a name in an expression stands for, in the halted guest. */
export function addressIn(session: Session): (name: string) => Promise<bigint | undefined> {
  return async (name) => {
    const value = await session.evaluate(quoted(name));
    return value.state === "known" ? value.value : undefined;
  };
}
