/**
 * The whole way of a bad branch's target: the call, its register followed back through the block, and where that ends at an argument, the
 * argument followed back through the callers' blocks.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import type { VirtMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { type BadBranch, type BranchSite, branchSite } from "./branch-site.ts";
import { decodeWord } from "./decode.ts";
import { type EvaluateOptions, evaluateOrigin, heldAtStart, type OriginValue, type Value } from "./evaluate.ts";
import { type Decoded, type RegisterNumber, registerName } from "./operation.ts";
import { branchOrigin, type Origin, registerOrigin } from "./origin.ts";
import { wordsAround } from "./words.ts";

/** What was followed in one function. */
export interface Hop {
  readonly origin: Origin;
  readonly value: OriginValue;
}

export interface BranchTrace {
  readonly site: BranchSite;
  /** The function that branched first, then its callers as far as an argument led there. */
  readonly hops: readonly Hop[];
}

export interface TraceOptions {
  /** Return addresses of the frames outside the one that branched, innermost first: the backtrace after the frame at x30. */
  readonly callers?: readonly VirtAddr[];
  /** The first address of the function that an address lies in, when symbols tell. */
  readonly functionOf?: (address: VirtAddr) => VirtAddr | undefined;
}

const MAX_HOPS = 4;
const AROUND = { before: 128, after: 64 };

/** Traces a branch to where no code can run. `bad.registers` are those of the fault at its target. */
export async function traceBranch(
  memory: VirtMemory,
  bad: BadBranch,
  options: TraceOptions = {},
): Promise<BranchTrace> {
  const site = await branchSite(memory, bad);
  if (site.kind !== "call") return { site, hops: [] };
  const first = branchOrigin(site.words, site.index, startOf(options, site.address));
  const origins = first === undefined ? [] : await withCallers(memory, first, options);
  return { site, hops: await evaluateHops(origins, memory, bad) };
}

function startOf({ functionOf }: TraceOptions, address: VirtAddr) {
  const functionStart = functionOf?.(address);
  return functionStart === undefined ? {} : { functionStart };
}

async function withCallers(memory: VirtMemory, first: Origin, options: TraceOptions): Promise<Origin[]> {
  const origins = [first];
  for (const caller of (options.callers ?? []).slice(0, MAX_HOPS - 1)) {
    const end = origins.at(-1)?.end;
    const next =
      end?.reason === "argument"
        ? await originInCaller(memory, virt(caller - 4n), origins.at(-1) as Origin, options)
        : undefined;
    if (next === undefined) break;
    origins.push(next);
  }
  return origins;
}

/** Where the argument that `callee` was left with came from, before the call at `address`. */
async function originInCaller(
  memory: VirtMemory,
  address: VirtAddr,
  callee: Origin,
  options: TraceOptions,
): Promise<Origin | undefined> {
  if (callee.end.reason !== "argument") return undefined;
  const { words } = await wordsAround(memory, address, AROUND);
  const index = words.findIndex((each) => each.address === address);
  const call = words[index];
  if (call === undefined || !mayCall(decodeWord(call), callee)) return undefined;
  return registerOrigin(words, index, callee.end.register, startOf(options, address));
}

/** A BL has to lead into the block that starts the function; otherwise another function stands between, which has no frame. */
function mayCall({ flow }: Decoded, { block }: Origin): boolean {
  if (flow.kind === "call-register") return true;
  return flow.kind === "call" && block.instructions.some(({ address }) => address === flow.target);
}

/** From the outermost caller inwards: each tells what the next one was called with. */
async function evaluateHops(origins: readonly Origin[], memory: VirtMemory, bad: BadBranch): Promise<Hop[]> {
  const registers: Registers[] = [bad.registers];
  for (const origin of origins.slice(0, -1))
    registers.push(registersAtStart(origin, registers.at(-1) ?? bad.registers));
  const hops: Hop[] = [];
  let argument: Value | undefined;
  for (let i = origins.length - 1; i >= 0; i--) {
    const origin = origins[i] as Origin;
    const options = { ...optionsOf(bad), entry: entryOf(origin, argument) };
    const value = await evaluateOrigin(origin, registers[i] as Registers, memory, options);
    argument = value.target.known ? value.target : value.recomputed;
    hops.unshift({ origin, value });
  }
  return hops;
}

/** Nothing has run between a call's instruction and the next one's first: registers are those of the branch in every function. */
function optionsOf({ strip }: BadBranch): EvaluateOptions {
  return { registers: "at-branch", ...(strip && { strip }) };
}

function entryOf({ end }: Origin, argument: Value | undefined) {
  return (register: RegisterNumber) => (end.reason === "argument" && end.register === register ? argument : undefined);
}

/** The registers of a function's first instruction, as far as its block leaves them known. */
function registersAtStart(origin: Origin, registers: Registers): Registers {
  const values = new Map<string, bigint>();
  for (let register = 0; register <= 31; register++) {
    const value = heldAtStart(origin, registers, register, { registers: "at-branch" });
    if (value.known) values.set(registerName(register), value.value);
  }
  return { get: (name) => values.get(name) };
}
