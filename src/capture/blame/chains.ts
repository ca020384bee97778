/** The call chain of a vCPU that writes, as an entry of the record: most are known already, and cost no round trip. */
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import type { Registers } from "../../base/registers.ts";
import type { Cpu, Target } from "../../target/target.ts";
import type { CodeCache, IsMemory } from "./code-cache.ts";
import type { Recorder } from "./recorder.ts";
import { type StackPiece, StackReader } from "./stack-reader.ts";

/** Where a chain is looked for, and what was found there. */
export interface ChainGuess {
  readonly spans: readonly VirtSpan[];
  readonly reads: readonly MemoryRead[];
}

/** Undefined index: it is not kept, nor any other, or as many different chains are as may be. */
export interface KnownChain {
  readonly index: number | undefined;
}

const NO_GUESS: ChainGuess = { spans: [], reads: [] };
const NOT_KEPT: KnownChain = { index: undefined };
const UNREADABLE = { state: "unreadable", code: "read-failed" } as const;

export class Chains {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #code: CodeCache;
  readonly #stacks: StackReader;
  readonly #keeps: boolean;

  /** `keeps`: whether chains are kept at all; otherwise no stack is read. */
  constructor(target: Target, recorder: Recorder, code: CodeCache, isMemory: IsMemory, keeps: boolean) {
    this.#keeps = keeps;
    this.#target = target;
    this.#recorder = recorder;
    this.#code = code;
    this.#stacks = new StackReader(target, isMemory);
  }

  /** Reads where the chain probably lies; to be sent with what else is asked for. */
  async guess(cpu: Cpu): Promise<ChainGuess> {
    const spans = this.#keeps ? this.#stacks.guess(cpu) : [];
    return spans.length === 0 ? NO_GUESS : { spans, reads: await this.#target.readVirtual(cpu, spans) };
  }

  /** The chain, if the guess has all of it and it was seen before. */
  known(registers: Registers, guess: ChainGuess): KnownChain | undefined {
    if (!this.#keeps) return NOT_KEPT;
    const { sample, missing } = this.#stacks.follow(registers, piecesOf(guess));
    return missing === undefined ? this.#recorder.known(sample) : undefined;
  }

  /** The chain, with the code that it leads through: read where it is not known. The guest is halted. */
  async whole(cpu: Cpu, registers: Registers, guess: ChainGuess): Promise<number | undefined> {
    if (!this.#keeps) return undefined;
    const sample = await this.#stacks.complete(cpu, registers, piecesOf(guess));
    this.#stacks.learn(cpu, sample);
    const stack = this.#recorder.stack(sample);
    if (stack?.isNew) await this.#code.learn(cpu, registers, sample);
    return stack?.index;
  }
}

function piecesOf({ spans, reads }: ChainGuess): StackPiece[] {
  return spans.map(({ address }, i) => ({ address, read: reads[i] ?? UNREADABLE }));
}
