/** A guest that is lent to a capture session: what the session puts in comes out again when it is over, as the guest stays attached. */
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRange, PhysMemory } from "../base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import type { Breakpoint, Cpu, Stop, Target, TargetInfo } from "../target/target.ts";

export class LentTarget implements Target {
  readonly #target: Target;
  readonly #breakpoints = new Set<Breakpoint>();
  #over = false;

  constructor(target: Target) {
    this.#target = target;
  }

  /** Takes out the breakpoints that were put in through it; the guest is halted. Nothing can be asked of it from then on. */
  async takeBack(): Promise<void> {
    this.#over = true;
    for (const breakpoint of this.#breakpoints) await breakpoint[Symbol.asyncDispose]();
    this.#breakpoints.clear();
  }

  get #held(): Target {
    if (this.#over) throw new EbscopeError("internal", "Cannot use the guest: it was lent, and the loan is over");
    return this.#target;
  }

  get info(): TargetInfo {
    return this.#target.info;
  }

  get memory(): PhysMemory {
    return this.#held.memory;
  }

  get memoryChannel(): Target["memoryChannel"] {
    return this.#target.memoryChannel;
  }

  get ended(): Promise<EbscopeError> {
    return this.#target.ended;
  }

  get stoppedCpu(): Cpu {
    return this.#target.stoppedCpu;
  }

  memoryRanges(): Promise<readonly MemoryRange[]> {
    return this.#held.memoryRanges();
  }

  readRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    return this.#held.readRegisters(cpus, registers);
  }

  async insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    const breakpoint = await this.#held.insertBreakpoint(address);
    this.#breakpoints.add(breakpoint);
    return breakpoint;
  }

  async resume(): Promise<void> {
    await this.#held.resume();
  }

  async resumePast(cpu: Cpu, pc: VirtAddr): Promise<void> {
    await this.#held.resumePast(cpu, pc);
  }

  async step(cpu: Cpu, pc: VirtAddr): Promise<Stop> {
    return this.#held.step(cpu, pc);
  }

  async waitForStop(signal?: AbortSignal): Promise<Stop> {
    return this.#held.waitForStop(signal);
  }

  async interrupt(): Promise<Stop | undefined> {
    return this.#held.interrupt();
  }

  /** Whoever lent it lets it go. */
  async release(): Promise<void> {
    await this.takeBack();
  }
}
