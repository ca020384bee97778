/**
 * Recording what it takes to follow a call chain again: the frames on the stack, and the code around them.
 *
 * Followed frame by frame, each return address would cost a round trip. So the chain is followed over what is at hand first, taking what is
 * missing for unreadable, which does not end it: what was missing is then read in one batch.
 */
import type { Regime } from "../aarch64/regime-model.ts";
import { PAGE_SIZE, type PhysAddr, type VirtAddr } from "../base/address.ts";
import type { MemoryRead, PageSource, PhysMemory, PhysSpan } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { type CallChain, callChain, codeRegime } from "../code/index.ts";
import { type RecordingMemory, readFromPages } from "../snapshot/page-memory.ts";

/** A vCPU with the regimes that are live on it, the current one first. */
export interface LiveCpu {
  readonly registers: Registers;
  readonly regimes: readonly Regime[];
}

/** Trials before the rest is left to the frame by frame way: stack page after stack page, then the code of all. */
const MAX_TRIALS = 6;

/**
 * Follows the chain of a vCPU, whose tables are in `memory`; reads through `log`. Returns the places in code that its frames are at, from
 * the innermost on: the calls, where a frame has one. Empty where the chain's regime cannot be told.
 */
export async function recordCallChain(
  memory: RecordingMemory,
  log: PhysMemory,
  { registers, regimes }: LiveCpu,
): Promise<readonly VirtAddr[]> {
  const regime = codeRegime(registers, regimes);
  if (regime === undefined) return [];
  for (let trial = 0; trial < MAX_TRIALS; trial++) {
    const atHand = new PagesAtHand(memory);
    const chain = await callChain(registers, regime, memory, atHand);
    if (atHand.missing.size === 0) {
      await log.read([...atHand.seen].map((address) => ({ address, length: PAGE_SIZE })));
      return placesOf(chain);
    }
    await memory.readAhead([...atHand.missing]);
  }
  return placesOf(await callChain(registers, regime, memory, log));
}

function placesOf({ backtrace }: CallChain): VirtAddr[] {
  return backtrace.frames.map(({ call, pc }) => call ?? pc);
}

/** Memory that has nothing but the pages at hand. */
class PagesAtHand implements PhysMemory, PageSource {
  readonly seen = new Set<PhysAddr>();
  readonly missing = new Set<PhysAddr>();
  readonly #memory: RecordingMemory;

  constructor(memory: RecordingMemory) {
    this.#memory = memory;
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    return spans.map((span) => readFromPages(this, span));
  }

  page(page: PhysAddr): MemoryRead | undefined {
    const read = this.#memory.pageAhead(page);
    (read === undefined ? this.missing : this.seen).add(page);
    return read;
  }
}
