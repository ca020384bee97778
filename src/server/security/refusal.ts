/** What is said to whoever is not served, and why. */
import type { ProblemJson } from "../../api/http.ts";

/** Advice by code. The registry (base/error.ts) has the codes of all that fails; these are of what is not let in. */
export const REFUSALS = {
  "host-refused":
    "Use the address that `ebscope serve` printed, with that port. `--allow-host NAME` adds a name, for a proxy or another machine.",
  "origin-refused": "Pages of other origins are not served. Use a program, or a page that this bridge serves itself.",
  "token-refused":
    "Send `Authorization: Bearer TOKEN` with the token in the file that `ebscope serve` named; a browser's WebSocket offers the subprotocols `ebscope.v1` and `ebscope.token.TOKEN`. A token in the URL is not taken.",
  "access-refused": "This needs the token for control; what was given is the one for reading.",
  "request-refused": "docs/api.md has what this bridge serves, and /openapi.json.",
  "too-many-requests": "Wait for answers before asking on, and close what is not needed.",
  "answer-too-large": "Ask for less: one vCPU, one regime, fewer names.",
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
