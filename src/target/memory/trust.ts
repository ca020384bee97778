/**
 * When bytes that did not come from the stub may be taken for the guest's.
 *
 * A wrong channel is worse than a slow one: it would show memory that never was. What can be wrong: the process is not the QEMU behind
 * the stub, or forwards to it; the address that the stub told is another region's; the file has the right name on the wrong host,
 * belongs to a guest before this one, or is not what the guest writes to. So nothing is believed before it agreed, byte by byte, with
 * what the stub says of the same halted machine:
 *
 * - Evidence is a page that agrees and is informative. Pages that repeat the same eight bytes over and over (blank, erased, poisoned) agree in
 *   any machine, and a page with the contents of one that was counted already tells nothing new: neither counts.
 * - A channel is proven by PROOF pieces of evidence. Each window must have OWN_PROOF of its own before it is used: that flash agrees
 *   says nothing about RAM. A blank window never gets there; it is read through the stub, which costs time and no correctness. As the
 *   guest fills it, the reads that are done anyway become its evidence.
 * - Blank pages that agree count for nothing, and any page that disagrees ends the channel for the session, whatever it had proven.
 * - Proof does not last: every batch and every refresh of the memory map compares more pages (guest-memory.ts), and a window that the stub
 *   tells at another position starts over.
 */
import { crc32 } from "node:zlib";
import { PAGE_SIZE } from "../../base/address.ts";
import type { HostWindow } from "./channel.ts";

/** Different informative pages that prove a channel. */
export const PROOF = 8;
/** Different informative pages that a window needs of its own. */
export const OWN_PROOF = 2;
/** Shorter pieces agree too easily. */
const SHORTEST_EVIDENCE = 512;
const PERIOD = 8;

/** Whether these bytes agreeing says anything: they are long enough and do not repeat themselves every eight bytes. */
export function informative(bytes: Uint8Array): boolean {
  if (bytes.length < SHORTEST_EVIDENCE) return false;
  return Buffer.compare(bytes.subarray(PERIOD), bytes.subarray(0, bytes.length - PERIOD)) !== 0;
}

/** What has agreed so far, for a channel and each of its windows. */
export class Trust {
  readonly #seen = new Set<number>();
  readonly #own = new Map<HostWindow, Set<number>>();

  /** Takes down bytes of a window that agreed with the stub's. */
  agreed(window: HostWindow, bytes: Uint8Array): void {
    if (this.proven(window)) return;
    const own = this.#own.get(window) ?? new Set();
    this.#own.set(window, own);
    for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
      const piece = bytes.subarray(at, at + PAGE_SIZE);
      if (!informative(piece)) continue;
      const contents = crc32(piece);
      own.add(contents);
      this.#seen.add(contents);
    }
  }

  /** Whether the channel as a whole is proven. */
  get provenWhole(): boolean {
    return this.#seen.size >= PROOF;
  }

  proven(window: HostWindow): boolean {
    return this.provenWhole && (this.#own.get(window)?.size ?? 0) >= OWN_PROOF;
  }

  /** Forgets the windows that are not among these. */
  keepOnly(windows: readonly HostWindow[]): void {
    for (const window of this.#own.keys()) if (!windows.includes(window)) this.#own.delete(window);
  }
}
