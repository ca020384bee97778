/** Exit codes: promises to scripts. */
import type { EbscopeError } from "../base/error.ts";

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The capture is complete and the guest faulted after the call. */
  faulted: 3,
  /** Timed out before ExitBootServices. */
  timedOut: 4,
  /** A policy is not kept. */
  broken: 5,
} as const;

export function exitCodeOf(error: EbscopeError): number {
  switch (error.code) {
    case "usage":
      return EXIT.usage;
    case "timed-out":
    case "no-system-table":
    case "bad-boot-services":
      return EXIT.timedOut;
    default:
      return EXIT.failed;
  }
}
