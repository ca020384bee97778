/**
 * Guest memory by other ways than the stub.
 *
 * Reading through the stub (`rsp`) always works and is the measure of everything here. Where QEMU runs on this host, guest memory can be
 * had without asking the stub for each byte: out of the QEMU `process`, or out of the `file` behind a shared memory backend. Both come
 * down to windows: a range of guest-physical addresses that lies, in order and without gaps, at some position of an open file.
 *
 * What the stub says about where the bytes lie is not believed, and which process answers the socket may be mistaken. So a channel
 * earns its use; trust.ts says how. The stub stays in every batch: see guest-memory.ts.
 */
import type { PhysAddr } from "../../base/address.ts";
import type { TreeRange } from "../memory-map.ts";

export type MemoryKind = "rsp" | "process" | "file";
export const MEMORY_CHOICES = ["auto", "rsp", "process", "file"] as const;
/** How the user wants guest memory read. `auto`: from the process if it can be had, else from the file, else through the stub. */
export type MemoryChoice = (typeof MEMORY_CHOICES)[number];

/** Guest-physical addresses whose bytes lie at `position` of an open file and after it. */
export interface HostWindow {
  readonly start: PhysAddr;
  readonly size: bigint;
  readonly fd: number;
  readonly position: number;
}

/** Windows for some ranges; when there are none, why. */
export interface Located {
  readonly windows: readonly HostWindow[];
  readonly why: string;
}

/** Where windows come from. Holds open files until it is closed. */
export interface HostSource {
  readonly kind: "process" | "file";
  /** For people: `process 1234`. */
  readonly name: string;
  /** Asks the stub where these ranges lie now. Ranges that cannot be had are left out. Rejects only when the stub is lost. */
  locate(ranges: readonly TreeRange[]): Promise<Located>;
  close(): void;
}

/** Why a channel cannot be had. */
export interface Refusal {
  readonly kind: "process" | "file";
  readonly why: string;
  /** The system forbids it to this user: it would work with more rights. */
  readonly denied: boolean;
}

/** What reads guest memory, for people and programs. */
export interface MemoryChannel {
  readonly kind: MemoryKind;
  /** `process 1234`, `/dev/shm/ram0`; for rsp `the stub`. */
  readonly name: string;
  /** False while samples have not proven it: until then the stub is asked. */
  readonly proven: boolean;
  /** Why it is none of the others. */
  readonly refusals: readonly Refusal[];
  /** What happened to a channel that was in use before. */
  readonly note: string | undefined;
}

/** Runs a command of QEMU's monitor through the stub; undefined when the stub has no monitor. */
export type Monitor = (command: string) => Promise<string | undefined>;

/** Ranges beyond this number are read through the stub: machines have a dozen, and each costs two questions. */
export const MAX_WINDOWS = 64;

/** A position up to which a whole range can be told apart as a number; no host has user memory or files beyond. */
export function isPosition(position: number, size: bigint): boolean {
  return Number.isSafeInteger(position) && position >= 0 && BigInt(position) + size <= Number.MAX_SAFE_INTEGER;
}
