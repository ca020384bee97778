/**
 * Where the differences between real stubs are observed: a stub, a guest that stands at `tick`, and what replies are called in the table of
 * docs/rsp.md.
 */
import { EbscopeError } from "../../../../src/base/error.ts";
import type { Command, Reply } from "../../../../src/rsp/command.ts";
import { DEFAULT_FEATURES } from "../../../../src/rsp/index.ts";
import type { StopReply } from "../../../../src/rsp/reply.ts";
import { openSession, type Session, type SessionOptions } from "../session.ts";
import type { StubKind } from "../stubs.ts";

/** A row of the table. What is observed is up to the stub; nothing is expected of it here. */
export interface Difference {
  readonly what: string;
  readonly observe: (lab: Lab) => Promise<string>;
}

export const WITH_PROCESSES: SessionOptions = { features: ["multiprocess+", ...DEFAULT_FEATURES] };

export const YES = "yes";
export const NO = "–";

/** One kind of stub. Sessions are gone when the scope ends. */
export class Lab implements AsyncDisposable {
  readonly kind: StubKind;
  #session: Session | undefined;

  constructor(kind: StubKind) {
    this.kind = kind;
  }

  /**
   * A session whose guest stands at `tick`, negotiated as RspClient does it. Experiments share it as long as they leave it usable: halted,
   * without breakpoints.
   */
  async session(): Promise<Session> {
    const usable = this.#session;
    if (usable !== undefined && !usable.connection.closed && !usable.connection.running) return usable;
    await usable?.[Symbol.asyncDispose]();
    this.#session = await openSession(this.kind);
    await this.#session.runTo("tick");
    return this.#session;
  }

  /** An experiment after which the stub, or what it was set up for, is of no use any more. */
  async last<T>(use: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.session();
    try {
      return await use(session);
    } finally {
      await session[Symbol.asyncDispose]();
    }
  }

  /** A stub of its own, whose guest stands at its first instruction. */
  async fresh<T>(use: (session: Session) => Promise<T>, options: SessionOptions = {}): Promise<T> {
    await using session = await openSession(this.kind, options);
    return await use(session);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }
}

export function code(text: string): string {
  return `\`${text}\``;
}

/** `yes`, `–` for the empty reply, the error. */
export function told(reply: Reply<unknown>): string {
  switch (reply.kind) {
    case "ok":
      return YES;
    case "unsupported":
      return NO;
    case "error":
      return code(reply.text.slice(0, 3));
    case "malformed":
      return "malformed";
  }
}

/** A row that is told by the reply to one command. */
export function replyTo(what: string, command: (session: Session) => Command<unknown>): Difference {
  return {
    what,
    observe: async (lab) => {
      const session = await lab.session();
      return told(await session.send(command(session)));
    },
  };
}

/** `T05`, `W2a`. */
export function stopText(stop: StopReply): string {
  switch (stop.kind) {
    case "signal":
      return code(`T${stop.signal.toString(16).padStart(2, "0")}`);
    case "exited":
      return code(`W${stop.status.toString(16).padStart(2, "0")}`);
    case "terminated":
      return code(`X${stop.signal.toString(16).padStart(2, "0")}`);
    case "thread-exited":
    case "no-resumed":
      return stop.kind;
  }
}

/** What a packet leads to that a client had better not send; afterwards the stub has to answer the next one, once. */
export async function fate(session: Session, payload: string): Promise<string> {
  let answered = "";
  try {
    const text = await session.raw(payload);
    answered = text === "" ? NO : text.replace(/^(E..)?.*$/, (_, error) => (error === undefined ? YES : code(error)));
    const next = await session.raw("vMustReplyEmpty");
    return next === "" ? answered : `${answered}, then ${code(next.slice(0, 3))}`;
  } catch (error) {
    if (!(error instanceof EbscopeError)) throw error;
    const before = answered === "" ? "" : `${answered}, then `;
    if (error.code === "stub-silent") return `${before}no answer`;
    if (await session.stub.ended(1000)) return `${before}the stub ends`;
    const more = /never sent: "(E..)"/.exec(error.message)?.[1];
    if (more !== undefined) return `${before}${code(more)}`;
    throw error;
  }
}
