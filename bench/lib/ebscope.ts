/** ebscope as a contender, and what it sends, for the bare contenders to send the same. */
import type { Tap } from "../../src/rsp/tap.ts";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { type AttachOptions, attachQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import { countEnds, packetsOf } from "./packets.ts";
import { type Contender, timed, WARM_UP } from "./race.ts";

/** Does something with a target on a connection of its own, and leaves the guest halted. */
export async function withTarget<T>(
  address: StubAddress,
  work: (target: Target) => Promise<T>,
  options: AttachOptions = {},
): Promise<T> {
  const target = await attachQemu(address, options);
  try {
    return await work(target);
  } finally {
    await target.release(false);
  }
}

/** What went over the wire since the last `restart`. */
export class Wire implements Tap {
  #sent: Buffer[] = [];
  /** Packets that came, output of the monitor among them. */
  replies = 0;
  bytesReceived = 0;

  bytes(direction: "sent" | "received", bytes: Uint8Array): void {
    if (direction === "sent") this.#sent.push(Buffer.from(bytes));
    else {
      this.replies += countEnds(bytes);
      this.bytesReceived += bytes.length;
    }
  }

  ended(): void {
    // Nothing is due.
  }

  restart(): void {
    this.#sent = [];
    this.replies = 0;
    this.bytesReceived = 0;
  }

  get packets(): readonly Buffer[] {
    return packetsOf(Buffer.concat(this.#sent));
  }
}

export interface Recorded {
  readonly packets: readonly Buffer[];
  readonly replies: number;
  readonly bytesReceived: number;
}

/** What `work` sends the second time it is done, as each later time: by then nothing is left that is done only once. */
export async function recordWire(
  address: StubAddress,
  work: (target: Target) => Promise<unknown>,
  options: AttachOptions = {},
): Promise<Recorded> {
  const wire = new Wire();
  return withTarget(
    address,
    async (target) => {
      await work(target);
      wire.restart();
      await work(target);
      const { packets, replies, bytesReceived } = wire;
      return { packets, replies, bytesReceived };
    },
    { ...options, taps: [wire] },
  );
}

/** Does `work` on a connection of its own each turn. */
export function ebscopeContender(
  name: string,
  address: StubAddress,
  repeats: number,
  work: (target: Target) => Promise<unknown>,
  options: AttachOptions = {},
): Contender {
  const turn = (warmUp: boolean): Promise<readonly number[]> =>
    withTarget(address, (target) => timed(warmUp ? repeats * WARM_UP : repeats, () => work(target)), options);
  return { name, turn };
}
