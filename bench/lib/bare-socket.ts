/**
 * The floor: a socket that sends packets and counts the replies without looking into them. As quick as Node can be about it: one
 * buffer that is used again for all that comes, no streams, no promise a reply; what is next to be sent goes out out of the same callback.
 *
 * A reply is counted by its `#`. QEMU acknowledges each packet with `+`, which is passed over, and wants none from us before the next `$`.
 * Output packets of the monitor (`O…`) count as replies here: whoever asks for one says how many packets come.
 */
import { connect, type Socket } from "node:net";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { framed } from "./packets.ts";
import { type Contender, timed, WARM_UP } from "./race.ts";

const HASH = 0x23;
const ACK = Buffer.from("+");

/** Bytes that go out in one write, and how many packets come back for them. */
export interface Step {
  readonly bytes: Buffer;
  readonly replies: number;
}

export class BareSocket {
  readonly #socket: Socket;
  #onData: (chunk: Buffer) => void = () => undefined;
  #onLost: (error: Error) => void = () => undefined;

  private constructor(address: StubAddress, connected: () => void, failed: (error: Error) => void) {
    if (address.kind === "replay") throw new Error("nothing to measure in a recording");
    const onread = {
      buffer: Buffer.allocUnsafeSlow(256 << 10),
      callback: (length: number, buffer: Uint8Array): boolean => {
        this.#onData((buffer as Buffer).subarray(0, length));
        return true;
      },
    };
    this.#socket = connect(
      address.kind === "unix" ? { path: address.path, onread } : { ...address, onread },
      connected,
    );
    this.#socket.setNoDelay(true);
    this.#socket.on("error", (error) => {
      failed(error);
      this.#onLost(error);
    });
    this.#socket.on("close", () => this.#onLost(new Error("the stub closed the connection")));
  }

  /** Connects, and makes QEMU 7.2 answer `p`, which it does once the target description was read. */
  static async open(address: StubAddress): Promise<BareSocket> {
    let socket: BareSocket | undefined;
    await new Promise<void>((resolve, reject) => {
      socket = new BareSocket(address, resolve, reject);
    });
    const opened = socket as BareSocket;
    const first = ["qSupported:xmlRegisters=aarch64", "qXfer:features:read:target.xml:0,ffb"].map(framed);
    await opened.exchange(first);
    return opened;
  }

  /** All packets in one write; resolves when `replies` packets have come. */
  async exchange(packets: readonly Buffer[], replies: number = packets.length): Promise<void> {
    await this.repeat([{ bytes: Buffer.concat(packets), replies }], 1);
  }

  /** The packets, never more than `window` of them under way, topped up when half of the window is free; one reply each. */
  pipeline(packets: readonly Buffer[], window: number): Promise<void> {
    return this.#listening((done) => {
      let sent = 0;
      let answered = 0;
      const topUp = (): void => {
        if (sent === packets.length || sent - answered > window / 2) return;
        const upTo = Math.min(packets.length, answered + window);
        this.#socket.write(Buffer.concat(packets.slice(sent, upTo)));
        sent = upTo;
      };
      this.#onData = (chunk) => {
        answered += ends(chunk);
        if (answered === packets.length) done();
        else topUp();
      };
      topUp();
    });
  }

  /**
   * The steps one after the other, all of them `times` times over: each goes out when the replies to the one before it have come. Resolves
   * with what each time took, in milliseconds.
   */
  async repeat(steps: readonly Step[], times: number): Promise<number[]> {
    const taken: number[] = [];
    await this.#listening((done) => {
      let at = 0;
      let left = 0;
      let started = performance.now();
      const next = (): void => {
        const step = steps[at++] as Step;
        left = step.replies;
        this.#socket.write(step.bytes);
      };
      this.#onData = (chunk) => {
        left -= ends(chunk);
        if (left > 0) return;
        if (at === steps.length) {
          const now = performance.now();
          taken.push(now - started);
          started = now;
          at = 0;
          if (taken.length === times) return done();
        }
        next();
      };
      next();
    });
    return taken;
  }

  /** The payload of one reply, for what has to be known. */
  async ask(payload: string): Promise<string> {
    let text = "";
    await this.#listening((done) => {
      this.#onData = (chunk) => {
        text += chunk.toString("latin1");
        if (text.includes("#")) done();
      };
      this.#socket.write(framed(payload));
    });
    return text.slice(text.indexOf("$") + 1, text.indexOf("#"));
  }

  /** Ends the connection and resolves when it is gone: QEMU serves the next one then. */
  close(): Promise<void> {
    this.#onLost = () => undefined;
    return new Promise((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  #listening(work: (done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onLost = reject;
      work(resolve);
    });
  }
}

function ends(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(HASH); at >= 0; at = chunk.indexOf(HASH, at + 1)) count++;
  return count;
}

/** Does `work` on a connection of its own each turn. */
export function bareContender(
  name: string,
  address: StubAddress,
  repeats: number,
  work: (socket: BareSocket) => Promise<unknown>,
): Contender {
  const turn = async (warmUp: boolean): Promise<readonly number[]> => {
    const socket = await BareSocket.open(address);
    const times = await timed(warmUp ? repeats * WARM_UP : repeats, () => work(socket));
    await socket.close();
    return times;
  };
  return { name, turn };
}

/** As a debugger of ten lines does it: each packet waits for the reply to the one before, and acknowledges it. For orientation. */
export function naiveContender(
  name: string,
  address: StubAddress,
  repeats: number,
  packets: readonly Buffer[],
): Contender {
  const steps = packets.map((packet) => ({ bytes: Buffer.concat([ACK, packet]), replies: 1 }));
  return bareContender(name, address, repeats, (socket) => socket.repeat(steps, 1));
}
