/**
 * The guests that are measured: AAVMF at the call of ExitBootServices, Linux with the tables of 4 GiB, and a loop of three instructions
 * without firmware.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type VirtAddr, virt } from "../../src/base/address.ts";
import { registersOf } from "../../src/base/registers.ts";
import { type Located, locateExitBootServices } from "../../src/capture/locate.ts";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { launchQemu } from "../../src/target/launch.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import { ROOT } from "./root.ts";

const AAVMF = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
const APPLICATION = join(ROOT, "examples/guests/handoff/handoff.efi");

export interface BenchGuest extends AsyncDisposable {
  readonly address: StubAddress;
  readonly pid: number;
}

export interface FirmwareGuest extends BenchGuest {
  /** What a capture that was there from the start knew when it waited for the call. */
  readonly located: Located;
  /** Lets the guest go on until the call of ExitBootServices returns, and halts it there. */
  toReturn(): Promise<void>;
}

/** AAVMF with an application that leaves boot services, halted at the entry of ExitBootServices: all that a capture does until `before`. */
export async function firmwareGuest(qemu: string): Promise<FirmwareGuest> {
  const launched = await launchQemu([
    ...[qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-nographic", "-nic", "none"],
    ...["-bios", AAVMF, "-kernel", APPLICATION, "-append", "mode=clean"],
  ]);
  const { address, pid } = launched;
  try {
    const target = await attachQemu(address);
    const located = await locateExitBootServices(target, { findTimeoutMs: 120_000 });
    await runTo(target, virt(located.roots.exitBootServices));
    const returnAddress = virt((await general(target, "x30")) ?? 0n);
    await target.release(false);
    const toReturn = async (): Promise<void> => {
      const again = await attachQemu(address);
      await runTo(again, returnAddress);
      await again.release(false);
    };
    return { address, pid, located, toReturn, [Symbol.asyncDispose]: () => launched.end() };
  } catch (error) {
    await launched.end();
    throw error;
  }
}

async function runTo(target: Target, address: VirtAddr): Promise<void> {
  const breakpoint = await target.insertBreakpoint(address);
  await target.resume();
  await target.waitForStop(AbortSignal.timeout(120_000));
  await breakpoint[Symbol.asyncDispose]();
  if ((await general(target, "pc")) !== address) throw new Error("the guest stopped somewhere else");
}

async function general(target: Target, name: string): Promise<bigint | undefined> {
  const definitions = target.info.registers.filter((each) => each.name === name);
  const [row] = await target.readRegisters([target.stoppedCpu], definitions);
  return registersOf(definitions, row ?? []).get(name);
}

const LINUX = join(ROOT, ".cache/guests/linux/vmlinuz");
/** All of the kernel's tables stand by then: it has nothing to mount, and waits for ever. */
const BOOTED = /end Kernel panic/;

/** Debian's kernel with 4 GiB, halted after its boot: it maps its memory in pages of 4 KiB (rodata=full), some 2,067 tables. */
export async function linuxGuest(qemu: string): Promise<BenchGuest> {
  if (!existsSync(LINUX)) throw new Error(`${LINUX} is not there. Run: bash scripts/setup live`);
  let booted = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    booted = resolve;
  });
  const machine = ["-M", "virt", "-cpu", "cortex-a57", "-m", "4G", "-nographic", "-nic", "none"];
  const launched = await launchQemu([qemu, ...machine, "-kernel", LINUX, "-append", "console=ttyAMA0"], {
    onLine: (_, line) => BOOTED.test(line) && booted(),
  });
  try {
    const target = await attachQemu(launched.address);
    await target.resume();
    await within(120_000, done);
    await target.interrupt();
    await target.release(false);
    return { address: launched.address, pid: launched.pid, [Symbol.asyncDispose]: () => launched.end() };
  } catch (error) {
    await launched.end();
    throw error;
  }
}

async function within(milliseconds: number, done: Promise<void>): Promise<void> {
  const late = AbortSignal.timeout(milliseconds);
  await Promise.race([done, new Promise((_, reject) => late.addEventListener("abort", () => reject(late.reason)))]);
}

/** Where the breakpoint goes in the loop: on the instruction that counts x0 up. */
export const LOOP_ADDRESS = virt(4n);
/** mov x0, #0; loop: add x0, x0, #1; nop; b loop */
const LOOP = Uint32Array.of(0xd280_0000, 0x9100_0400, 0xd503_201f, 0x17ff_fffe);

/** A vCPU that goes round in a loop in flash from reset on, halted. x0 counts the rounds. */
export async function loopGuest(qemu: string): Promise<BenchGuest> {
  const folder = mkdtempSync(join(tmpdir(), "ebscope-bench-"));
  const image = join(folder, "loop.bin");
  writeFileSync(image, LOOP);
  const forget = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const machine = ["-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-nographic", "-nic", "none", "-bios", image];
    const launched = await launchQemu([qemu, ...machine]);
    const end = async (): Promise<void> => {
      await launched.end();
      forget();
    };
    return { address: launched.address, pid: launched.pid, [Symbol.asyncDispose]: end };
  } catch (error) {
    forget();
    throw error;
  }
}
