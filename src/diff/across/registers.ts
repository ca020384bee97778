/** The registers of two points of two runs, by what they mean. */
import { hostExtensions } from "../../aarch64/machine-state.ts";
import { type RegisterClass, registerClass } from "../../aarch64/registers/index.ts";
import { littleEndianValue, type RegisterRead } from "../../base/registers.ts";
import { type Capture, pointRegisters } from "../../snapshot/model.ts";
import type { PointView } from "../point-view.ts";
import { changedFields, type FieldChange } from "../registers.ts";
import { type RunBits, runBits } from "./run-dependent.ts";
import { both, type Two } from "./side.ts";
import { compareValues, type PointPair, type ValueComparison, type Verdict } from "./values.ts";

export interface RegisterAcross {
  /** Index of the vCPU in either capture: the one that a point is about goes with the other's, the rest in their order. */
  readonly cpus: Two<number>;
  readonly name: string;
  readonly class: RegisterClass;
  /** Undefined when it could not be read. */
  readonly values: Two<bigint | undefined>;
  /** `unread`: it could not be read in one of them. */
  readonly verdict: Exclude<Verdict, "equal"> | "unread";
  readonly why: string | undefined;
  readonly places: Two<string | undefined>;
  /** Those that differ, where the verdict is `different`. */
  readonly fields: readonly FieldChange[];
}

/** Registers that one stub offers and the other does not: their names, in the stub's order. */
export function offeredByOne({ a, b }: Two<Capture>): Two<readonly string[]> {
  const names = both({ a, b }, ({ registers }) => new Set(registers.map(({ name }) => name)));
  return {
    a: [...names.a].filter((name) => !names.b.has(name)),
    b: [...names.b].filter((name) => !names.a.has(name)),
  };
}

/** Every register that both stubs offer and whose value is not the same number, unless that number means the same place. */
export function compareRegisters(pair: PointPair): readonly RegisterAcross[] {
  const names = sharedNames(both(pair.sides, ({ capture }) => capture));
  return vcpuPairs(pair.views).flatMap((cpus) => {
    const rows = { a: valuesOf(pair.views.a, cpus.a), b: valuesOf(pair.views.b, cpus.b) };
    return names.flatMap((name) => {
      const values = both(rows, (row) => row.get(name));
      const compared = compareRegister(name, cpus, values, pair);
      return compared === undefined ? [] : [{ cpus, name, class: registerClass(name), values, ...compared }];
    });
  });
}

function sharedNames({ a, b }: Two<Capture>): readonly string[] {
  const other = new Set(b.registers.map(({ name }) => name));
  return a.registers.map(({ name }) => name).filter((name) => other.has(name));
}

function vcpuPairs({ a, b }: Two<PointView>): readonly Two<number>[] {
  const order = (view: PointView): number[] => [
    view.cpu,
    ...view.capture.threads.map((_, cpu) => cpu).filter((cpu) => cpu !== view.cpu),
  ];
  const [left, right] = [order(a), order(b)];
  return left.slice(0, right.length).map((cpu, i) => ({ a: cpu, b: right[i] as number }));
}

/** Undefined for what could not be read. */
function valuesOf({ capture, point }: PointView, cpu: number): ReadonlyMap<string, bigint | undefined> {
  const row = point.registers[cpu] ?? [];
  return new Map(capture.registers.map(({ name }, i) => [name, valueRead(row[i])]));
}

function valueRead(read: RegisterRead | undefined): bigint | undefined {
  return read?.state === "present" ? littleEndianValue(read.bytes) : undefined;
}

/** What a comparison by address would get wrong. */
type Named = Pick<RegisterAcross, "why" | "places"> & { readonly verdict: "moved" | "run" };

type Judged = Pick<RegisterAcross, "verdict" | "why" | "places" | "fields">;
const NO_PLACES = { a: undefined, b: undefined };

function judged(verdict: Judged["verdict"], why?: string): Judged {
  return { verdict, why, places: NO_PLACES, fields: [] };
}

/** Undefined when there is nothing to say. */
function compareRegister(
  name: string,
  cpus: Two<number>,
  { a, b }: Two<bigint | undefined>,
  pair: PointPair,
): Judged | undefined {
  if (a === undefined || b === undefined) return a === b ? undefined : judged("unread");
  const run = runOf(name, cpus, pair.views);
  const mask = ~(run?.mask ?? 0n);
  if (run !== undefined && (a & mask) === (b & mask)) return a === b ? undefined : judged("run", run.why);
  const values = { a, b };
  const named = namedByCall(name, values, pair) ?? tablesMoved(name, values);
  if (named !== undefined) return { ...judged(named.verdict, named.why), places: named.places };
  return compareMeaning(name, cpus, values, mask, pair);
}

/** What depends on the run in either of them. */
function runOf(name: string, cpus: Two<number>, views: Two<PointView>): RunBits | undefined {
  const caller = cpus.a === views.a.cpu && cpus.b === views.b.cpu;
  const [a, b] = (["a", "b"] as const).map((side) => {
    const { capture, point } = views[side];
    return runBits(name, { kind: point.kind, caller, registers: pointRegisters(capture, point, cpus[side]) });
  });
  return a === undefined || b === undefined ? (a ?? b) : { mask: a.mask | b.mask, why: a.why };
}

function compareMeaning(
  name: string,
  cpus: Two<number>,
  values: Two<bigint>,
  mask: bigint,
  pair: PointPair,
): Judged | undefined {
  const { a, b } = values;
  const compared: ValueComparison = holdsAddress(name)
    ? compareValues(pair, values, { pointer: POINTERS.test(name) })
    : { verdict: a === b ? "equal" : "different", places: NO_PLACES };
  if (compared.verdict === "equal") return undefined;
  const { capture, point } = pair.views.b;
  const e2h = hostExtensions(pointRegisters(capture, point, cpus.b));
  const fields = compared.verdict === "different" ? changedFields(name, a & mask, b & mask, e2h) : [];
  return { verdict: compared.verdict, why: compared.why, places: compared.places, fields };
}

/** Registers that may hold an address: of all others, a number that looks like one is none. */
function holdsAddress(name: string): boolean {
  return /^(x\d+|sp|pc|(SP|TPIDR|TPIDRRO|GCSPR|VBAR|ELR|FAR)_EL\d+)$/.test(name);
}

/** Registers that hold an address of code, whatever else. */
const POINTERS = /^(pc|x30|VBAR_EL\d|ELR_EL\d)$/;

/** Values that a call of ExitBootServices was given: the handle is an address in the firmware's pool, the key counts changes of the map. */
function namedByCall(name: string, { a, b }: Two<bigint>, { sides }: PointPair): Named | undefined {
  if (a === b || registerClass(name) !== "general") return undefined;
  const [left, right] = [sides.a.capture.attempts, sides.b.capture.attempts];
  if (left.some(({ imageHandle }) => imageHandle === a) && right.some(({ imageHandle }) => imageHandle === b)) {
    return { verdict: "moved", why: undefined, places: { a: "ImageHandle", b: "ImageHandle" } };
  }
  if (!left.some(({ mapKey }) => mapKey === a) || !right.some(({ mapKey }) => mapKey === b)) return undefined;
  return { verdict: "run", why: "MapKey, a counter of the firmware", places: { a: "MapKey", b: "MapKey" } };
}

/** TTBR<n>_ELx.BADDR, VTTBR_EL2.BADDR: bits 47:1, or 51:48 in 5:2 with large addresses (Arm ARM, D24.2). The mappings are compared instead. */
const TABLE_ADDRESS = 0xffff_ffff_fffen;

function tablesMoved(name: string, { a, b }: Two<bigint>): Named | undefined {
  if (!/^(VS?TTBR|TTBR[01])_EL\d+$/.test(name) || a === b || a === 0n || b === 0n) return undefined;
  const others = (a & ~TABLE_ADDRESS) !== (b & ~TABLE_ADDRESS);
  return others
    ? undefined
    : { verdict: "moved", why: undefined, places: { a: "translation tables", b: "translation tables" } };
}
