/** What the slow decoder says of an address. */

/** "EL1&0" is the whole regime: with its stage 2 where the registers put that in force. "stage2" takes an IPA. */
export type SlowRegime = "EL1&0" | "EL2" | "EL2&0" | "EL3" | "stage2";

export type SlowShareability = "none" | "reserved" | "outer" | "inner";

export interface SlowMapping {
  readonly outcome: "mapped";
  readonly output: bigint;
  /** Level of the block or page descriptor, of stage 1 where there are two; null with (stage 1) translation off. */
  readonly level: number | null;
  /** In bytes; null with (stage 1) translation off. */
  readonly granule: number | null;
  /** Such as `rw-`; `?` where a register that decides is not there. */
  readonly privileged: string;
  /** null where the regime has no EL0. */
  readonly unprivileged: string | null;
  readonly memory: string;
  readonly shareability: SlowShareability;
  readonly contiguous: boolean;
  readonly accessFlag: boolean;
  readonly global: boolean;
  /** GP, which BTI looks at. */
  readonly guarded: boolean;
}

export interface SlowFault {
  readonly outcome: "fault";
  readonly stage: 1 | 2;
  /** A fault of stage 2 on an access to a table of stage 1. */
  readonly onWalk: boolean;
  readonly kind: "translation" | "address size" | "permission" | "access flag";
  /** Of the stage that faults. */
  readonly level: number;
}

/** A descriptor could not be read: its physical address, and the stage and level that it belongs to. */
export interface SlowUnreadable {
  readonly outcome: "unreadable";
  readonly descriptor: bigint;
  readonly level: number;
  readonly stage: 1 | 2;
}

export type SlowTranslation = SlowMapping | SlowFault | SlowUnreadable;
