/**
 * How long the guest stands still for a snapshot, beside the floor: a bare socket that sends the same requests, pipelined, and counts
 * the replies without looking into them. Both in one run, in turns, on one guest; what counts is the ratio.
 *
 *   npm run bench:snapshot [-- --rounds 5 --qemu .cache/qemu-10.0/qemu-system-aarch64]
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import type { PhysAddr } from "../src/base/address.ts";
import { locateExitBootServices } from "../src/capture/locate.ts";
import { takePoint } from "../src/capture/point.ts";
import { connectTransport, type StubAddress, type Transport } from "../src/rsp/transport.ts";
import type { EfiRoots } from "../src/snapshot/model.ts";
import { launchQemu } from "../src/target/launch.ts";
import { attachQemu, openQemu } from "../src/target/qemu.ts";
import type { Target } from "../src/target/target.ts";

const FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
const REPEATS = 10;
const DOLLAR = 0x24;
const HASH = 0x23;
const LETTER_O = 0x4f;
const LETTER_K = 0x4b;

const { values: flags } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, qemu: { type: "string", default: "qemu-system-aarch64" } },
});

interface Kind {
  readonly name: string;
  readonly images: boolean;
  /** Whether a point before it told what to expect, as it is for `after` in a capture. */
  readonly expecting: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "before (registers, tables, UEFI, images)", images: true, expecting: false },
  { name: "after (registers, tables, UEFI), knowing what before needed", images: false, expecting: true },
];

const guest = await launchQemu([
  ...[flags.qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-nographic", "-nic", "none", "-bios", FIRMWARE],
]);
try {
  await main(guest.address);
} finally {
  await guest.end();
}

async function main(address: StubAddress): Promise<void> {
  const roots = await bootToBootServices(address);
  console.log(`guest: AAVMF at boot services, 1 vCPU; ${flags.rounds} rounds of ${REPEATS}, medians`);
  for (const kind of KINDS) {
    const ours: number[] = [];
    const bare: number[] = [];
    let first: number | undefined;
    let bytes = 0;
    let requests = 0;
    for (let round = 0; round < Number(flags.rounds); round++) {
      const recorded = await ourSnapshots(address, roots, kind);
      ours.push(...recorded.times);
      first ??= recorded.times[0];
      requests = recorded.requests.length;
      const floor = await bareSnapshots(address, recorded.requests);
      bare.push(...floor.times);
      bytes = floor.bytes;
    }
    const [a, b] = [median(ours), median(bare)];
    console.log(`${kind.name}: ${requests} requests, ${(bytes / 1024).toFixed(0)} KiB of replies`);
    console.log(
      `  ebscope ${a.toFixed(2)} ms (first ${first?.toFixed(2)} ms)   bare ${b.toFixed(2)} ms   ratio ${(a / b).toFixed(2)}`,
    );
  }
}

async function bootToBootServices(address: StubAddress): Promise<EfiRoots> {
  const target = await attachQemu(address);
  const { roots } = await locateExitBootServices(target, { findTimeoutMs: 60_000 });
  await target.release(false);
  return roots;
}

/** Takes snapshots on a new connection, and keeps the requests of the last one. */
async function ourSnapshots(
  address: StubAddress,
  efi: EfiRoots,
  kind: Kind,
): Promise<{ times: number[]; requests: Buffer[] }> {
  let sent: Buffer[] = [];
  const transport = await connectTransport(address);
  const target = await openQemu(tapped(transport, (bytes) => sent.push(Buffer.from(bytes))));
  const times: number[] = [];
  let expect = kind.expecting ? await takeOne(target, efi, kind, undefined) : undefined;
  for (let i = 0; i < REPEATS; i++) {
    sent = [];
    const started = performance.now();
    const needed = await takeOne(target, efi, kind, expect);
    times.push(performance.now() - started);
    if (kind.expecting) expect = needed;
  }
  const requests = packetsOf(Buffer.concat(sent));
  await target.release(false);
  return { times, requests };
}

async function takeOne(
  target: Target,
  efi: EfiRoots,
  { images }: Kind,
  expect: ReadonlySet<PhysAddr> | undefined,
): Promise<ReadonlySet<PhysAddr>> {
  const { lost, needed } = await takePoint(target, { id: "now", kind: "now", efi, images, expect });
  if (lost !== undefined) throw lost;
  return needed;
}

function tapped(transport: Transport, onWrite: (bytes: Uint8Array) => void): Transport {
  return {
    start: (handlers) => transport.start(handlers),
    close: () => transport.close(),
    write(bytes) {
      onWrite(bytes);
      transport.write(bytes);
    },
  };
}

/** The `$…#hh` packets in what was sent, without acknowledgements. */
function packetsOf(bytes: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = bytes.indexOf("$"); at >= 0; at = bytes.indexOf("$", at)) {
    const end = bytes.indexOf("#", at) + 3;
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return packets;
}

/** Sends the same requests over a bare socket, as fast as the replies come. */
async function bareSnapshots(
  address: StubAddress,
  requests: readonly Buffer[],
): Promise<{ times: number[]; bytes: number }> {
  if (address.kind !== "unix") throw new Error("a launched guest listens on a unix socket");
  const socket = connect({ path: address.path });
  await once(socket, "connect");
  // QEMU 7.2 answers `p` only after the target description was read.
  await exchange(socket, ["qSupported:xmlRegisters=aarch64", "qXfer:features:read:target.xml:0,ffb"].map(framed));
  const times: number[] = [];
  let bytes = 0;
  for (let i = 0; i < REPEATS; i++) {
    times.push(
      await timed(async () => {
        bytes = await exchange(socket, requests);
      }),
    );
  }
  socket.destroy();
  return { times, bytes };
}

function framed(payload: string): Buffer {
  const sum = [...Buffer.from(payload)].reduce((a, b) => (a + b) & 0xff, 0);
  return Buffer.from(`$${payload}#${sum.toString(16).padStart(2, "0")}`);
}

/** Sends all requests at once and waits for the final reply to each; returns the bytes received. `O` packets are no final reply. */
function exchange(socket: Socket, requests: readonly Buffer[]): Promise<number> {
  return new Promise((resolve) => {
    let left = requests.length;
    let bytes = 0;
    let atStart = false;
    let first = 0;
    let second = 0;
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      for (let at = 0; at < chunk.length; ) {
        if (atStart && first === 0) {
          first = chunk[at++] as number;
          continue;
        }
        if (atStart && second === 0) {
          second = chunk[at++] as number;
          if (second !== HASH) continue;
          at--;
        }
        const mark = chunk.indexOf(atStart ? HASH : DOLLAR, at);
        if (mark < 0) break;
        at = mark + 1;
        if (atStart && !(first === LETTER_O && second !== LETTER_K)) left--;
        atStart = !atStart;
        first = 0;
        second = 0;
      }
      if (left > 0) return;
      socket.off("data", onData);
      resolve(bytes);
    };
    socket.on("data", onData);
    socket.write(Buffer.concat(requests));
  });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
}
