/** One attempt to connect, with the token that is the right one now. */
import { Connection, type Dial } from "./connection.ts";
import { BridgeError, usageError } from "./errors.ts";

/** The token, or the way to get it: asked before each attempt, as a bridge that was started again has another one. */
export type TokenSource = string | (() => string | Promise<string>);

/** Codes of what may be another time. */
const PASSING: ReadonlySet<string> = new Set([
  ...["connect-failed", "connect-timeout", "connection-lost", "too-many-requests"],
  // The file of the token: it is not there while no bridge runs.
  "file-unreadable",
]);

/** The letters that a subprotocol may hold (RFC 9110, 5.6.2), without those that no token of a bridge has. */
const TOKEN = /^[\w.~-]{1,512}$/;

export class Dialer {
  readonly #dial: Omit<Dial, "token">;
  readonly #token: TokenSource;
  #last: string | undefined;
  #refused: string | undefined;
  #refusals = 0;

  constructor(dial: Omit<Dial, "token">, token: TokenSource) {
    this.#dial = dial;
    this.#token = token;
  }

  /** Rejects with a BridgeError, or the signal's reason. */
  async dial(signal: AbortSignal): Promise<Connection> {
    const token = await this.#askToken();
    if (token !== this.#refused) this.#refusals = 0;
    this.#last = token;
    return Connection.open({ ...this.#dial, token }, signal);
  }

  /**
   * Whether it can get better by trying again. A token that was refused once may be that of the bridge before, where the new one was not
   * written yet when it was asked for; the same one twice is refused for good.
   */
  passes({ code }: BridgeError): boolean {
    if (code !== "token-refused" || typeof this.#token === "string") return PASSING.has(code);
    this.#refused = this.#last;
    this.#refusals++;
    return this.#refusals < 2;
  }

  async #askToken(): Promise<string> {
    const token = (typeof this.#token === "string" ? this.#token : await ask(this.#token)).trim();
    if (TOKEN.test(token)) return token;
    const next = "`ebscope serve` names the file it is in.";
    // A file that is just being written.
    if (token === "") throw new BridgeError("file-unreadable", "Cannot get the token: there is nothing", { next });
    throw usageError("Cannot connect with this token: it is none of a bridge", next);
  }
}

async function ask(source: () => string | Promise<string>): Promise<string> {
  try {
    return await source();
  } catch (error) {
    if (error instanceof BridgeError) throw error;
    const message = `Cannot get the token: ${error instanceof Error ? error.message : String(error)}`;
    throw new BridgeError("file-unreadable", message, {
      next: "`ebscope serve` names the file it is in.",
      cause: error,
    });
  }
}
