/** How a guest stands: its states, as JSON, and the failures that end them. */
import type { TargetJson } from "../api/protocol.ts";
import type { VirtAddr } from "../base/address.ts";
import { asEbscopeError, EbscopeError, type ErrorCode } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { Stop } from "../target/target.ts";
import type { StopView } from "./stop-view.ts";

export type StopReason = "breakpoint" | "interrupt" | "step" | "attach";

export interface Standing {
  readonly cpu: number;
  /** Undefined when it could not be read. */
  readonly pc: VirtAddr | undefined;
  readonly why: StopReason;
}

/** From a resume to the stop. */
export interface Run {
  readonly giveUp: AbortController;
  readonly stop: Promise<Stop>;
}

export type State =
  | { readonly kind: "running"; readonly run: Run | undefined }
  | { readonly kind: "stopped"; readonly at: Standing; readonly view: StopView }
  | { readonly kind: "lost"; readonly error: EbscopeError }
  | { readonly kind: "released" };

/** The longest message of a failure that is told. */
const MAX_MESSAGE = 500;
/** After these nobody knows how the guest stands, if there is one. */
export const LOSSES: readonly ErrorCode[] = ["connection-lost", "guest-ended", "stub-silent", "protocol-error"];

export function ended(why: string): EbscopeError {
  return new EbscopeError("guest-ended", `The guest ended: ${why}`);
}

/** Nothing here puts watchpoints in: a stop at one is of somebody who had the guest before. */
export function reasonOf({ kind }: Exclude<Stop, { kind: "ended" }>): StopReason {
  return kind === "watchpoint" ? "breakpoint" : kind;
}

export function standingJson({ cpu, pc, why }: Standing) {
  return { cpu, pc: pc === undefined ? null : hex(pc), why };
}

/** What stands for an answer that failed, unless it failed because the guest is lost. */
export function unlessLost<T>(cause: unknown, instead: T): T {
  const error = asEbscopeError(cause);
  if (LOSSES.includes(error.code)) throw error;
  return instead;
}

/** A failure as it is told. */
export function failureJson({ code, message }: EbscopeError): { code: string; message: string } {
  return { code, message: printable(message, MAX_MESSAGE) };
}

/** What a state adds to a guest's JSON; a guest that was let go is one that nobody has any more. */
export function stateJson(state: State): Pick<TargetJson, "state" | "stop" | "error"> {
  switch (state.kind) {
    case "running":
      return { state: "running", stop: null, error: null };
    case "stopped":
      return { state: "stopped", stop: standingJson(state.at), error: null };
    case "lost":
      return { state: "lost", stop: null, error: failureJson(state.error) };
    case "released":
      return { state: "lost", stop: null, error: null };
  }
}
