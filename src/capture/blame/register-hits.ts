/** A vCPU at an instruction that writes a System register, or maintains caches or TLBs: letting it, and recording what it did. */
import { currentExceptionLevel, hostExtensions } from "../../aarch64/machine-state.ts";
import { encodingNamed } from "../../aarch64/registers/encodings.ts";
import { writtenRegister } from "../../aarch64/registers/written-register.ts";
import { type VirtAddr, virt } from "../../base/address.ts";
import { type RegisterDefinition, type RegisterRead, type Registers, registersOf } from "../../base/registers.ts";
import { type SystemWord, systemWord } from "../../code/system-words.ts";
import type { WatchedSite } from "../../snapshot/blame.ts";
import type { Breakpoint, Cpu, Target } from "../../target/target.ts";
import type { StoppedCpu } from "../stopped.ts";
import type { ChainGuess, Chains } from "./chains.ts";
import { type Handled, type Hit, isRefusal, LastHits } from "./hit.ts";
import type { KnownRegisters, RegisterDifference } from "./known-registers.ts";
import { NOTHING, type Recorder } from "./recorder.ts";
import type { UseWatch } from "./use-watch.ts";

export interface RegisterHitsParts {
  readonly target: Target;
  readonly recorder: Recorder;
  readonly general: readonly RegisterDefinition[];
  readonly known: KnownRegisters;
  readonly chains: Chains;
  /** Who waits for uses until maintenance is seen; undefined when nobody does. */
  readonly useWatch: UseWatch | undefined;
  /** Told when control registers of a vCPU have changed; the guest is halted. */
  readonly onChange: (cpu: Cpu) => Promise<void>;
}

export class RegisterHits {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #parts: RegisterHitsParts;
  /** Those of a vCPU that writes a register: general and control registers. */
  readonly #looked: readonly RegisterDefinition[];
  readonly #last = new LastHits();
  readonly #sites = new Map<
    VirtAddr,
    { readonly system: SystemWord; readonly word: number; readonly trap: Breakpoint }
  >();

  constructor(parts: RegisterHitsParts) {
    this.#target = parts.target;
    this.#recorder = parts.recorder;
    this.#parts = parts;
    this.#looked = [...parts.general, ...parts.known.control];
  }

  /** Instructions that write System registers, and those that maintain. */
  get count(): { readonly registers: number; readonly maintenance: number } {
    const registers = [...this.#sites.values()].filter(({ system }) => system.kind === "msr").length;
    return { registers, maintenance: this.#sites.size - registers };
  }

  /** Puts a breakpoint at each. Returns why not all are in; undefined when they are. */
  async insert(sites: readonly WatchedSite[]): Promise<string | undefined> {
    const put = await Promise.allSettled(
      sites.map(async (site) => {
        const system = systemWord(site.word);
        if (system === undefined) return;
        const trap = await this.#target.insertBreakpoint(site.address);
        this.#sites.set(site.address, { system, word: site.word, trap });
        this.#recorder.sites.push(site);
      }),
    );
    const refused = put.filter((each) => each.status === "rejected").map(({ reason }) => reason as unknown);
    const other = refused.find((reason) => !isRefusal(reason));
    if (other !== undefined) throw other;
    return refused.find(isRefusal)?.message;
  }

  async removeAll(): Promise<void> {
    const traps = [...this.#sites.values()].map(({ trap }) => trap);
    this.#sites.clear();
    await Promise.all(traps.map((trap) => trap[Symbol.asyncDispose]()));
  }

  isSite(pc: bigint): boolean {
    return this.#sites.has(virt(pc));
  }

  /** Records what the instruction does where the vCPU stands, and lets the guest run on, if it may. */
  async handle({ cpu, pc: at }: StoppedCpu, mayRun: boolean): Promise<Handled> {
    const pc = virt(at);
    const site = this.#sites.get(pc);
    if (site === undefined) return "stuck";
    const { system, word } = site;
    const definitions = system.kind === "msr" ? this.#looked : this.#parts.general;
    const { chains } = this.#parts;
    const [[[row = []], guess], { putBack, stop }] = await Promise.all([
      Promise.all([this.#target.readRegisters([cpu], definitions), chains.guess(cpu)]),
      this.#target.stepAside(cpu, pc),
    ]);
    const registers = registersOf(definitions, row);
    const chain = chains.known(registers, guess);
    const isSure = !this.#last.isAgain(cpu, row) && stop.kind === "breakpoint";
    const isWaiting = this.#parts.useWatch?.isWaiting === true;
    if (system.kind !== "msr" && isSure && chain !== undefined && !isWaiting) {
      await Promise.all([putBack(), mayRun ? this.#target.resume() : undefined]);
      this.#recordMaintenance({ cpu, registers, pc, word, stack: chain.index }, system);
      return "ran";
    }
    await putBack();
    if (!isSure && (await this.#pcOf(cpu)) === pc) {
      if (mayRun) await this.#target.resume();
      return "stuck";
    }
    const hit = { cpu, registers, pc, word, stack: await this.#stackOf(cpu, registers, guess) };
    if (system.kind === "msr") await this.#recordRegister(hit, system, row);
    else {
      this.#recordMaintenance(hit, system);
      await this.#parts.useWatch?.clear();
    }
    if (mayRun) await this.#target.resume();
    return "ran";
  }

  async #pcOf(cpu: Cpu): Promise<bigint | undefined> {
    const [row = []] = await this.#target.readRegisters([cpu], this.#parts.general);
    return registersOf(this.#parts.general, row).get("pc");
  }

  #stackOf(cpu: Cpu, registers: Registers, guess: ChainGuess): Promise<number | undefined> {
    return this.#parts.chains.whole(cpu, registers, guess);
  }

  #recordMaintenance({ cpu, registers, pc, word, stack }: Hit, { encoding, rt }: SystemWord): void {
    const value = operand(registers, rt);
    this.#recorder.add({
      ...{ kind: "maintenance", cpu: cpu.index, pc, word, address: BigInt(encoding) },
      ...{ old: undefined, new: value, stack },
    });
  }

  async #recordRegister(hit: Hit, { encoding, rt }: SystemWord, before: readonly RegisterRead[]): Promise<void> {
    const { known } = this.#parts;
    const { cpu, registers, pc, word, stack } = hit;
    this.tellUnseen(cpu.index, known.set(cpu.index, this.#looked, before));
    const [after = []] = await this.#target.readRegisters([cpu], known.control);
    const level = currentExceptionLevel(registers) ?? 1;
    const name = writtenRegister(encoding, { level, e2h: hostExtensions(known.of(cpu.index)) });
    const old = known.of(cpu.index).get(name);
    const found = known.set(cpu.index, known.control, after);
    this.#recorder.add({
      ...{ kind: "register", cpu: cpu.index, pc, word, address: BigInt(encodingNamed(name) ?? encoding) },
      ...{ old, new: known.of(cpu.index).get(name) ?? operand(registers, rt), stack },
    });
    this.tellUnseen(
      cpu.index,
      found.filter((each) => each.name !== name),
    );
    if (found.length > 0) await this.#parts.onChange(cpu);
  }

  /** Control registers that are not what they were, and that nothing was seen to write. */
  tellUnseen(cpu: number, found: readonly RegisterDifference[]): void {
    for (const { encoding, old, now } of found) {
      this.#recorder.add({ ...NOTHING, kind: "unseen-register", cpu, address: BigInt(encoding), old, new: now });
    }
  }
}

function operand(registers: Registers, rt: number): bigint | undefined {
  return rt === 31 ? 0n : registers.get(`x${rt}`);
}
