/**
 * The guest that asks the CPU about its own tables (examples/guests/translate), and what it prints: see its README. Shares no code with src.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { need, QEMU_7, ROOT } from "./live.ts";

const TRANSLATE = join(ROOT, "examples/guests/translate/translate.elf");
const PATIENCE_MS = 30_000;

/** What the CPU said to one question: PAR_EL1 for AT, ESR_ELx for a fetch; undefined where the guest did not ask. */
export type Answers = ReadonlyMap<string, bigint | undefined>;

export interface Probe {
  readonly va: bigint;
  /** By column: `e1r` is AT S1E1R, `n0w` AT S12E0W, `p1r` AT S1E1RP with PSTATE.PAN = 1, `x0` a fetch at EL0. */
  readonly answers: Answers;
}

/** One set of tables and registers, with the answers to every address. */
export interface Configuration {
  readonly name: string;
  readonly regime: "EL1&0" | "EL2" | "EL2&0" | "EL3";
  /** The registers as the guest wrote them: `sctlr tcr mair ttbr0 ttbr1 hcr vtcr vttbr`. */
  readonly registers: Readonly<Record<string, bigint>>;
  /** Whether hardware sets the access flag: HA of TCR_ELx or VTCR_EL2, where there is FEAT_HAFDBS. */
  readonly setsAccessFlag: boolean;
  /** FEAT_LPA: physical addresses of 52 bits. */
  readonly largeAddresses: boolean;
  readonly probes: readonly Probe[];
}

export interface AtMachine {
  readonly qemu?: string;
  readonly machine: string;
  readonly cpu: string;
}

/** QEMU with the guest. It goes through its configurations one by one and waits after each. */
export class AtGuest implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;
  #console = "";
  #features: Features = { hafdbs: false, lpa: false };
  #wake: () => void = () => {};

  constructor({ qemu = QEMU_7, machine, cpu }: AtMachine) {
    need(qemu, TRANSLATE);
    this.#folder = mkdtempSync(join(tmpdir(), "ebscope-at-"));
    const board = ["-M", machine, "-cpu", cpu, "-m", "1024", "-nic", "none", "-kernel", TRANSLATE];
    const console = ["-display", "none", "-monitor", "none", "-serial", "stdio"];
    const stub = ["-gdb", `unix:${this.gdbPath},server=on,wait=off`];
    this.#child = spawn(qemu, [...board, ...console, ...stub], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#console += chunk.toString("latin1");
      if (chunk.includes(10)) this.#wake();
    });
    this.#child.once("exit", () => this.#wake());
  }

  get gdbPath(): string {
    return join(this.#folder, "gdb.sock");
  }

  /** Every configuration in turn. The machine's tables and registers are those of the one that was yielded last. */
  async *configurations(): AsyncGenerator<Configuration> {
    for (;;) {
      const text = await this.#until(/^guest: (ready|done)/m);
      this.#console = "";
      if (/^guest: done/m.test(text)) return;
      this.#features = parseFeatures(text) ?? this.#features;
      yield parseConfiguration(text, this.#features);
      this.#child.stdin?.write("n");
    }
  }

  /** What the console shows, once it matches and ends with a whole line. */
  #until(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new Error(`${why}; the console ends in:\n${this.#console.slice(-2000)}`));
      const timer = setTimeout(() => fail(`nothing matched ${pattern} in ${PATIENCE_MS} ms`), PATIENCE_MS);
      this.#wake = () => {
        const over = this.#child.exitCode !== null || this.#child.signalCode !== null;
        const broken = this.#console.includes("guest: unexpected");
        const whole = this.#console.endsWith("\n") && pattern.test(this.#console.slice(-200));
        if (!over && !broken && !whole) return;
        clearTimeout(timer);
        if (whole && !broken) resolve(this.#console);
        else fail(over ? "QEMU ended" : "the guest took an exception");
      };
      this.#wake();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const REGIMES = ["EL1&0", "EL2", "EL2&0", "EL3"] as const;

interface Features {
  readonly hafdbs: boolean;
  readonly lpa: boolean;
}

/** ID_AA64MMFR1_EL1.HAFDBS and ID_AA64MMFR0_EL1.PARange, of the guest's first line. */
function parseFeatures(text: string): Features | undefined {
  const [, mmfr0, mmfr1] = /^guest: start .*mmfr0=(0x[0-9a-f]+) mmfr1=(0x[0-9a-f]+)/m.exec(text) ?? [];
  if (mmfr0 === undefined || mmfr1 === undefined) return undefined;
  return { hafdbs: (BigInt(mmfr1) & 0xfn) !== 0n, lpa: (BigInt(mmfr0) & 0xfn) >= 6n };
}

/** Reads the lines of one configuration. Throws at a line that is none of them. */
function parseConfiguration(text: string, { hafdbs, lpa }: Features): Configuration {
  const lines = text.split("\r\n").filter((line) => line !== "" && !line.startsWith("guest: start"));
  const [head = "", ...rest] = lines;
  const fields = new Map([...head.matchAll(/([a-z0-9]+)=(\S+)/g)].map(([, key = "", value = ""]) => [key, value]));
  const name = fields.get("name");
  const regime = REGIMES.find((each) => each === fields.get("regime"));
  const columns = fields.get("columns")?.split(",") ?? [];
  if (!head.startsWith("guest: config") || name === undefined || regime === undefined || columns.length === 0) {
    throw new Error(`not the head of a configuration: ${head}`);
  }
  if (rest.pop() !== `guest: ready name=${name}`) throw new Error(`configuration ${name} does not end as it should`);
  const numbers = [...fields].filter(([, value]) => value.startsWith("0x"));
  const registers = Object.fromEntries(numbers.map(([key, value]) => [key, BigInt(value)]));
  return {
    name,
    regime,
    registers,
    setsAccessFlag: hafdbs && setsAccessFlag(regime, registers),
    largeAddresses: lpa,
    probes: rest.map((line) => parseProbe(line, columns)),
  };
}

/** TCR_EL1.HA and TCR_EL2.HA with E2H: bit 39; TCR_EL2.HA, TCR_EL3.HA and VTCR_EL2.HA: bit 21. */
function setsAccessFlag(regime: string, { tcr = 0n, vtcr = 0n }: Readonly<Record<string, bigint>>): boolean {
  const stage1 = regime.includes("&") ? tcr >> 39n : tcr >> 21n;
  return ((stage1 | (vtcr >> 21n)) & 1n) === 1n;
}

function parseProbe(line: string, columns: readonly string[]): Probe {
  const [va = "", ...words] = line.split(" ");
  if (!/^[0-9a-f]+( ([0-9a-f]+|=|-))+$/.test(line) || words.length !== columns.length) {
    throw new Error(`not an address with ${columns.length} answers: ${line}`);
  }
  let last: bigint | undefined;
  const answers = words.map((word): bigint | undefined => {
    if (word === "-") return undefined;
    if (word !== "=") last = BigInt(`0x${word}`);
    return last;
  });
  return { va: BigInt(`0x${va}`), answers: new Map(columns.map((column, i) => [column, answers[i]])) };
}
