/**
 * The floor of attributing writes: a bare socket that takes the stops of a burst. At each it asks for the registers, takes the watchpoint
 * out, has the vCPU step, asks for the descriptor, puts the watchpoint in again and goes on: six packets in two writes.
 *
 * ebscope brings the guest to the burst's first store. From there on the socket has the same breakpoints and watchpoints in the guest that
 * ebscope has, as it was seen to send them: what they cost QEMU is in both.
 */
import { type VirtAddr, virt } from "../../src/base/address.ts";
import { registersOf } from "../../src/base/registers.ts";
import { locateExitBootServices } from "../../src/capture/locate.ts";
import type { Target } from "../../src/target/target.ts";
import { BareSocket } from "./bare-socket.ts";
import { type Burst, type BurstGuest, JUST_LAUNCHED } from "./burst.ts";
import { withTarget } from "./ebscope.ts";
import { framed } from "./packets.ts";

/** The breakpoints and watchpoints in the guest during the burst, and what steps its vCPU. */
export interface Setting {
  /** Payloads of `Z…`. */
  readonly traps: readonly string[];
  /** Payload of `vCont;s…`. */
  readonly step: string;
}

/** From the packets of a session: what was in the guest when the descriptor was read last. */
export function settingOf(packets: readonly Buffer[], { at }: Burst): Setting {
  const payloads = packets.map((packet) => packet.toString("latin1").slice(1, -3));
  const end = payloads.lastIndexOf(`m${at.toString(16)},8`);
  if (end < 0) throw new Error("the descriptor was never read");
  const traps = new Set<string>();
  for (const payload of payloads.slice(0, end)) {
    if (payload.startsWith("Z")) traps.add(payload);
    else if (payload.startsWith("z")) traps.delete(`Z${payload.slice(1)}`);
  }
  traps.add(watchpointOf(at));
  return { traps: [...traps], step: payloads.findLast((each) => each.startsWith("vCont;s")) ?? "" };
}

/** What each stop of the burst took, in milliseconds, but for the first and the last. The guest runs on unhindered afterwards. */
export async function bareBurst(guest: BurstGuest, { pc, at, count }: Burst, setting: Setting): Promise<number[]> {
  await withTarget(guest.address, (target) => toFirstStore(target, virt(pc)), JUST_LAUNCHED);
  const socket = await BareSocket.open(guest.address);
  await socket.exchange([...setting.traps, "c"].map(framed));
  const page = watchpointOf(at).slice(1);
  const cycle = [step(["g", `z${page}`, setting.step]), step([`m${at.toString(16)},8`, `Z${page}`, "c"])];
  const times = await socket.repeat(cycle, count - 1);
  await mustBeAt(socket, pc, true);
  await socket.repeat(cycle, 1);
  await mustBeAt(socket, pc, false);
  await socket.ask("D");
  await socket.close();
  return times;
}

function watchpointOf(at: bigint): string {
  return `Z2,${(at & ~0xfffn).toString(16)},1000`;
}

function step(payloads: readonly string[]): { bytes: Buffer; replies: number } {
  return { bytes: Buffer.concat(payloads.map(framed)), replies: payloads.length };
}

/** Through the entry of ExitBootServices: before that, other code may lie at the address. */
async function toFirstStore(target: Target, pc: VirtAddr): Promise<void> {
  const { roots } = await locateExitBootServices(target, { findTimeoutMs: 120_000 });
  for (const address of [virt(roots.exitBootServices), pc]) {
    const breakpoint = await target.insertBreakpoint(address);
    await target.resume();
    await target.waitForStop(AbortSignal.timeout(120_000));
    await breakpoint[Symbol.asyncDispose]();
    const definitions = target.info.registers.filter(({ name }) => name === "pc");
    const [row = []] = await target.readRegisters([target.stoppedCpu], definitions);
    if (registersOf(definitions, row).get("pc") !== address) throw new Error("the guest stopped somewhere else");
  }
}

/** Register 32 of the core feature is pc. */
async function mustBeAt(socket: BareSocket, pc: bigint, expected: boolean): Promise<void> {
  const digits = await socket.ask("p20");
  const stands = Buffer.from(digits, "hex").readBigUInt64LE(0) === pc;
  if (stands !== expected) throw new Error(`the burst has ${expected ? "fewer" : "more"} stops than the guest says`);
}
