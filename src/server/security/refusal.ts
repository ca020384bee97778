/** What is said to whoever is not served, and why. */
import type { ProblemJson } from "../../api/http.ts";
import { ERROR_CODES } from "../../base/error.ts";

/** Those codes of the error registry that are of what is not let in or not answered, with their advice. */
export const REFUSALS = {
  "host-refused": ERROR_CODES["host-refused"],
  "origin-refused": ERROR_CODES["origin-refused"],
  "token-refused": ERROR_CODES["token-refused"],
  "access-refused": ERROR_CODES["access-refused"],
  "request-refused": ERROR_CODES["request-refused"],
  "too-many-requests": ERROR_CODES["too-many-requests"],
  "answer-too-large": ERROR_CODES["answer-too-large"],
} as const;
export type RefusalCode = keyof typeof REFUSALS;

/** A request that is not served. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: RefusalCode;
  readonly next: string;
  /** Of HTTP (RFC 9110, 15.5). */
  readonly status: number;

  constructor(status: number, code: RefusalCode, message: string, next: string = REFUSALS[code]) {
    super(message);
    this.status = status;
    this.code = code;
    this.next = next;
  }
}

export function problemOf({ code, message, next }: { code: string; message: string; next: string }): ProblemJson {
  return { error: { code, message, next } };
}
