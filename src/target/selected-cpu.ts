/**
 * Which vCPU the stub's `g`, `p` and `m` are about, so that `Hg` need not go out for the one that has just stopped.
 *
 * Source: "Debugging with GDB", appendix E, `H`. QEMU selects by itself the vCPU that it reports with SIGTRAP, whichever was selected before:
 * seen on 7.2 and 10.0 with two vCPUs, at breakpoints, watchpoints and steps of either. Nothing is assumed after other stops, and nothing of
 * other stubs.
 */
import type { BatchRequest, Connection } from "../rsp/connection.ts";
import { encodePacket } from "../rsp/packet.ts";
import type { Cpu } from "./target.ts";

/** In GDB's numbering. */
const SIGTRAP = 5;

export class SelectedCpu {
  readonly #connection: Connection;
  /** Whether a stop selects. */
  readonly #byStops: boolean;
  /** How often the guest had been resumed when `Hg` went out last: until the next stop another vCPU than that of the stop may be selected. */
  #askedAt = -1;
  readonly #requests = new Map<string, BatchRequest>();

  constructor(connection: Connection, isQemu: boolean) {
    this.#connection = connection;
    this.#byStops = isQemu;
  }

  /**
   * Sends requests about a vCPU, all at once. `decode` is called for each reply as it comes; `selected`: whether it is about that vCPU, as far
   * as the stub can be believed.
   */
  batch(
    cpu: Cpu,
    requests: readonly BatchRequest[],
    decode: (reply: Uint8Array, index: number, selected: boolean) => void,
  ): Promise<unknown> {
    if (this.#isSelected(cpu)) return this.#connection.batch(requests, (reply, i) => decode(reply, i, true));
    this.#askedAt = this.#connection.resumes;
    let selected = false;
    return this.#connection.batch([this.#requestFor(cpu), ...requests], (reply, i) => {
      if (i === 0) selected = isOk(reply);
      else decode(reply, i - 1, selected);
    });
  }

  #isSelected({ thread }: Cpu): boolean {
    const { resumes, stop } = this.#connection;
    if (!this.#byStops || this.#askedAt === resumes) return false;
    return stop?.kind === "signal" && stop.signal === SIGTRAP && stop.thread === thread;
  }

  #requestFor({ thread, index }: Cpu): BatchRequest {
    const known = this.#requests.get(thread);
    if (known !== undefined) return known;
    const payload = `Hg${thread}`;
    const request = { payload, packet: encodePacket(payload), label: `selecting vCPU ${index}` };
    this.#requests.set(thread, request);
    return request;
  }
}

function isOk(reply: Uint8Array): boolean {
  return reply.length === 2 && reply[0] === 0x4f && reply[1] === 0x4b;
}
