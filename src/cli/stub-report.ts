/** What `ebscope doctor --gdb` says of a stub: what it is, what it offers, and how guest memory would be read. Leaves the guest as it was. */
import { hex } from "../base/hex.ts";
import { plural } from "../base/text.ts";
import { parseStubAddress, stubAddressText } from "../rsp/transport.ts";
import type { MemoryChannel } from "../target/memory/channel.ts";
import { attachQemu } from "../target/qemu.ts";
import type { Target } from "../target/target.ts";
import { style, table } from "./render/style.ts";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface StubReport {
  readonly address: string;
  /** What the stub says it is; null when it does not say. */
  readonly qemu: string | null;
  readonly packetSize: string;
  /** Registers that it offers for a vCPU, and vCPUs. */
  readonly registers: number;
  readonly cpus: number;
  /** Whether the guest ran, and runs on now. */
  readonly running: boolean;
  readonly memory: {
    readonly channel: MemoryChannel["kind"];
    readonly from: string;
    /** False while not enough of the guest's memory could be compared with what the stub reads. */
    readonly proven: boolean;
    readonly others: readonly { readonly channel: MemoryChannel["kind"]; readonly why: string }[];
  };
}

/** Attaches, looks and lets go; also when it is interrupted, as the guest stands still meanwhile. */
export async function reportStub(gdb: string): Promise<StubReport> {
  const address = parseStubAddress(gdb);
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of STOP_SIGNALS) process.once(name, stop);
  try {
    const target = await attachQemu(address, { signal: controller.signal });
    const report = describe(stubAddressText(address), target);
    await target.release(target.info.wasRunning);
    return report;
  } finally {
    for (const name of STOP_SIGNALS) process.removeListener(name, stop);
  }
}

function describe(address: string, { info, memoryChannel }: Target): StubReport {
  const { kind, name, proven, refusals } = memoryChannel;
  const refused = refusals.map((refusal) => ({ channel: refusal.kind, why: refusal.why }));
  return {
    address,
    qemu: info.qemuVersion ?? null,
    packetSize: hex(info.packetSize),
    registers: info.registers.length,
    cpus: info.cpus.length,
    running: info.wasRunning,
    memory: { channel: kind, from: name, proven, others: [...refused, ...notTried(kind)] },
  };
}

/** What comes after the channel that was found. */
function notTried(kind: MemoryChannel["kind"]): StubReport["memory"]["others"] {
  const slower = { channel: "rsp" as const, why: "it is slower" };
  switch (kind) {
    case "process":
      return [{ channel: "file", why: "not looked for: the process comes first" }, slower];
    case "file":
      return [slower];
    case "rsp":
      return [];
  }
}

export function renderStub(report: StubReport): string[] {
  const { memory } = report;
  const waits = memory.proven ? "" : ", once enough of it could be compared with what the stub reads";
  const rows = [
    ["stub", `${report.address}: QEMU ${report.qemu ?? "(it does not say which)"}`],
    ["guest", `${plural(report.cpus, "vCPU")}, ${report.running ? "running" : "paused"}: left as it was found`],
    ["offers", `${plural(report.registers, "register")} for a vCPU, packets of ${report.packetSize} bytes`],
    ["memory", `--memory ${memory.channel}: read from ${memory.from}${waits}`],
    ...memory.others.map(({ channel, why }) => ["", style.quiet(`not ${channel}: ${why}`)]),
  ];
  return table(rows);
}
