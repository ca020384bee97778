/**
 * A guest that stores many times to one live descriptor inside ExitBootServices, by one instruction: `mode=many` of examples/guests/blame.
 *
 * It prints one line when the burst is over: how many stores there were (`count=`), by the instruction at `pc=`, to the descriptor at `at=`.
 * The firmware writes to its tables behind it as well, by other instructions; that is not the burst.
 */
import { join } from "node:path";
import { launchQemu } from "../../src/target/launch.ts";
import type { BenchGuest } from "./guest.ts";
import { ROOT } from "./root.ts";

const AAVMF = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
const APPLICATION = join(ROOT, "examples/guests/blame/blame.efi");
const OVER = "blame: done";
const MOST_MS = 300_000;
/** The stub has its socket a moment before it listens. */
export const JUST_LAUNCHED = { connectRetryMs: 5_000 };

/** What the guest says of its burst. */
export interface Burst {
  readonly count: number;
  readonly pc: bigint;
  /** Of the descriptor; virtual and physical addresses are the same. */
  readonly at: bigint;
}

export interface BurstGuest extends BenchGuest {
  /** Every line of its console so far, of the firmware's too. */
  readonly lines: readonly string[];
  /** Waits for the guest's last line, and tells its burst. The guest has to run. */
  over(): Promise<Burst>;
}

/** Halted at reset; it will do `count` stores. */
export async function burstGuest(qemu: string, count: number): Promise<BurstGuest> {
  const lines: string[] = [];
  let done = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    done = resolve;
  });
  const machine = ["-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-nographic", "-nic", "none", "-bios", AAVMF];
  const launched = await launchQemu([qemu, ...machine, "-kernel", APPLICATION, "-append", `mode=many n=${count}`], {
    onLine: (source, line) => {
      if (source === "stdout") lines.push(line);
      if (line.includes(OVER)) done();
    },
  });
  return {
    address: launched.address,
    pid: launched.pid,
    lines,
    over: async () => {
      await within(over);
      return burstOf(lines);
    },
    [Symbol.asyncDispose]: () => launched.end(),
  };
}

async function within(over: Promise<void>): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`the guest did not say "${OVER}"`)), MOST_MS);
  const tooLate = new Promise((_, reject) => late.signal.addEventListener("abort", () => reject(late.signal.reason)));
  await Promise.race([over, tooLate]);
  clearTimeout(timer);
}

function burstOf(lines: readonly string[]): Burst {
  const line = lines.find((each) => / store_many many /.test(each)) ?? "";
  const field = (name: string): bigint => {
    const value = new RegExp(` ${name}=(0x[0-9a-f]+)`).exec(line)?.[1];
    if (value === undefined) throw new Error(`the guest did not say ${name} of its burst: ${lines.join("\n")}`);
    return BigInt(value);
  };
  return { count: Number(field("count")), pc: field("pc"), at: field("at") };
}
