/**
 * Packets over a byte pipe, with the acknowledgements that belong to them; which reply answers which request is the connection's affair.
 *
 * Source: "Debugging with GDB", appendix E, E.1 Overview and E.11 Packet Acknowledgment. There are three ways to acknowledge:
 * - `strict`: what every stub speaks at first. Each packet is answered with `+`, or with `-` which asks for it again. Only one packet of
 *   ours is ever under way: a stub that waits for `+` takes whatever else comes for a `-` (gdbserver does), and a `-` asks for the last
 *   packet only, whatever that was. Here damage on the line is repaired: what we sent is sent again on `-`, and a damaged packet is asked
 *   for again, a few times each. That no `+` comes is damage only on a line that loses bytes. A socket loses none, and a stub that is
 *   merely slow would act on each copy and answer it: the answers to later requests would be off by one.
 * - `none`: after QStartNoAckMode. The line is reliable, so any number of packets may be under way; damage ends the session.
 * - `implied`: QEMU, which offers no QStartNoAckMode, takes the `$` of the next packet as an acknowledgement and never waits for `+` when
 *   it emulates a machine (emulating a process it reads one byte behind each answer, and answers again when that is no `+`).
 *   It is sent none; its own `+` before each answer are counted, so that an answer which nobody asked for is noticed. Damage ends the
 *   session, as in `none`.
 *
 * Assumptions: a notification starts with its name and a colon; another `%` packet is a `$` packet with a damaged start. Bytes outside
 * any frame are damage too, or, before the first packet, another protocol.
 */
import type { ErrorCode } from "../base/error.ts";
import { latin1, printable } from "../base/text.ts";
import { type Frame, PacketDecoder } from "./packet.ts";
import type { Transport } from "./transport.ts";

export type AckMode = "strict" | "implied" | "none";

export interface LinkHandlers {
  /** The stub has taken a packet of ours; told once a packet, in their order. Never in mode `none`. */
  acknowledged(): void;
  /** A whole packet. The payload is borrowed: valid during the call only. */
  packet(payload: Uint8Array): void;
  notification(payload: Uint8Array): void;
  /** All of one piece of input has been handled. */
  settled(): void;
  /**
   * Whether a byte may be sent now. Not when the guest was let go and the stub has not acknowledged that yet: what comes is older, and
   * what is sent may reach the running guest.
   */
  maySend(): boolean;
  /** Whether what the stub is sending can be asked for again: `-` asks for the last packet only, and an answer with output has several. */
  repairable(): boolean;
  /** The session is over. `cause` is what the transport says, if it does: an EbscopeError stands for itself. */
  failed(code: ErrorCode, what: string, cause?: Error): void;
}

export interface LinkOptions {
  /** How often a packet is sent, or asked for, again before the session is given up. Default 3. */
  readonly retries?: number;
  /** How long `+` is waited for before a packet is sent again, on a line that loses bytes (a serial one). Default: it is not. */
  readonly retransmitMs?: number;
}

/** For what is to be done at the end of this turn: less work than `queueMicrotask`. */
const TURN = Promise.resolve();
/** So many packets are not held back: the stub can be at work on them while more are made. */
const MANY = 64;
const ACK = Buffer.from("+");
const NAK = Buffer.from("-");
const STRAY_BYTES = "bytes arrived outside any packet";
const NOTIFICATION = /^[A-Za-z]{1,40}:/;

export class Link {
  readonly #transport: Transport;
  readonly #handlers: LinkHandlers;
  readonly #retries: number;
  readonly #retransmitMs: number | undefined;
  readonly #decoder = new PacketDecoder();
  #mode: AckMode = "strict";
  #outbox: Uint8Array[] = [];
  readonly #flushNow = (): void => this.flush();
  #flushing = false;
  #closed = false;
  #closing: Promise<void> | undefined;
  #heardPacket = false;
  /** Packets of ours that the stub has not acknowledged yet; in `strict` there is at most one, kept to be sent again. */
  #unacknowledged = 0;
  #last: Uint8Array | undefined;
  #resendable = false;
  #resent = 0;
  /** How often a packet of the stub's was asked for again since the last good one. */
  #askedAgain = 0;
  #damage: string | undefined;
  /** Bytes outside any packet were the last that came: more of them are the same damage. */
  #inNoise = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(transport: Transport, handlers: LinkHandlers, options: LinkOptions = {}) {
    this.#transport = transport;
    this.#handlers = handlers;
    this.#retries = options.retries ?? 3;
    this.#retransmitMs = options.retransmitMs;
    transport.start({
      data: (chunk) => this.#receive(chunk),
      closed: (cause) => this.#transportClosed(cause),
    });
  }

  get mode(): AckMode {
    return this.#mode;
  }

  /** What was wrong with the last thing that came, while it has not come again in order. */
  get damage(): string | undefined {
    return this.#damage;
  }

  /** Changes how packets are acknowledged from here on; nothing may be under way. */
  setMode(mode: AckMode): void {
    this.#mode = mode;
    this.#unacknowledged = 0;
    this.#forget();
  }

  /** Queues one encoded packet. `resendable`: whether it may go out again when no `+` comes (not: one that resumes the guest). */
  send(packet: Uint8Array, resendable: boolean): void {
    this.#outbox.push(packet);
    if (this.#outbox.length >= MANY) this.flush();
    if (this.#mode === "none") return;
    this.#unacknowledged++;
    if (this.#mode === "implied") return;
    this.#forget();
    this.#last = packet;
    this.#resendable = resendable;
    this.#startTimer();
  }

  /** Queues bytes that are no packet (0x03). */
  sendRaw(bytes: Uint8Array): void {
    this.#outbox.push(bytes);
  }

  /** Writes what is queued: at the end of this turn, so that what is asked for together goes out together. */
  flushSoon(): void {
    if (this.#outbox.length === 0 || this.#flushing) return;
    this.#flushing = true;
    void TURN.then(this.#flushNow);
  }

  flush(): void {
    this.#flushing = false;
    const parts = this.#outbox;
    if (parts.length === 0) return;
    this.#outbox = [];
    this.#transport.write(parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts));
  }

  /** Nothing is sent or told any more. */
  close(): Promise<void> {
    this.#closed = true;
    this.#outbox = [];
    this.#forget();
    this.#closing ??= this.#transport.close();
    return this.#closing;
  }

  #transportClosed(cause: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#handlers.failed("connection-lost", "the stub closed the connection", cause);
  }

  #fail(code: ErrorCode, what: string): void {
    if (this.#closed) return;
    void this.close();
    this.#handlers.failed(code, what);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    const frames = this.#decoder.push(chunk);
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Frame;
      if (frame.kind === "packet" && cutShort(frames, i)) this.#cutShort();
      else this.#frame(frame);
      if (this.#closed) return;
    }
    this.#handlers.settled();
    this.flush();
  }

  #frame(frame: Frame): void {
    const moreNoise = this.#inNoise && frame.kind === "noise";
    this.#inNoise = frame.kind === "noise" || (this.#inNoise && (frame.kind === "ack" || frame.kind === "nak"));
    if (moreNoise) return;
    switch (frame.kind) {
      case "packet":
        this.#heardPacket = true;
        this.#askedAgain = 0;
        this.#damage = undefined;
        if (this.#mode === "strict" && this.#handlers.maySend()) this.#outbox.push(ACK);
        this.#handlers.packet(frame.payload);
        return;
      case "notification":
        if (NOTIFICATION.test(latin1(frame.payload.subarray(0, 41)))) this.#handlers.notification(frame.payload);
        else this.#damaged("a damaged packet arrived (its first byte)");
        return;
      case "corrupt":
        // One that is too long or encoded wrongly would come as it was again.
        this.#damaged(`a corrupt packet arrived (${frame.why})`, frame.why === "checksum");
        return;
      case "noise":
        if (this.#heardPacket) this.#damaged(STRAY_BYTES);
        else this.#otherProtocol(frame.bytes);
        return;
      case "ack":
        this.#acknowledged();
        return;
      case "nak":
        this.#refused();
        return;
    }
  }

  #acknowledged(): void {
    if (this.#mode === "none" || this.#unacknowledged === 0) return;
    this.#unacknowledged--;
    this.#forget();
    this.#handlers.acknowledged();
  }

  /** `-`: the stub wants our last packet again. One that it has already taken is not sent twice. */
  #refused(): void {
    if (this.#mode !== "strict") this.#fail("protocol-error", "the stub did not accept a packet (NAK)");
    else if (this.#unacknowledged > 0) this.#resend("the stub did not accept a packet (NAK)");
  }

  #resend(why: string): void {
    if (this.#last === undefined) return;
    if (++this.#resent > this.#retries) {
      this.#fail("protocol-error", `${why}, ${this.#resent} times`);
      return;
    }
    this.#outbox.push(this.#last);
    this.#startTimer();
    this.flushSoon();
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    if (!this.#resendable || this.#retransmitMs === undefined) return;
    this.#timer = setTimeout(() => {
      // The last silence is the connection's to tell: it knows what was being done, and how long that may take.
      if (this.#resent < this.#retries) this.#resend("a packet was not acknowledged");
    }, this.#retransmitMs);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#last = undefined;
    this.#resent = 0;
  }

  #damaged(what: string, repeatable = true): void {
    this.#damage = what;
    const repairable = repeatable && this.#handlers.maySend() && this.#handlers.repairable();
    if (this.#mode !== "strict" || !repairable) this.#fail("protocol-error", what);
    else if (++this.#askedAgain > this.#retries) this.#fail("protocol-error", `${what}, again and again`);
    else this.#outbox.push(NAK);
  }

  #cutShort(): void {
    this.#heardPacket = true;
    this.#inNoise = true;
    this.#damaged(STRAY_BYTES);
  }

  #otherProtocol(bytes: Uint8Array): void {
    const text = latin1(bytes.subarray(0, 80));
    this.#fail("not-a-gdbstub", `the other side does not speak the GDB remote protocol: ${guessSpeaker(text)}`);
  }
}

/**
 * Whether a packet is followed by what nobody sends there: then a byte of it may have become a `#`, and two digits that were data the
 * right checksum for what stands before them, once in 256.
 */
function cutShort(frames: readonly Frame[], packet: number): boolean {
  for (let i = packet + 1; i < frames.length; i++) {
    const { kind } = frames[i] as Frame;
    if (kind !== "ack" && kind !== "nak") return kind === "noise";
  }
  return false;
}

function guessSpeaker(text: string): string {
  if (/^HTTP\//.test(text)) return "it is an HTTP server";
  if (/^\s*\{\s*"QMP"/.test(text)) return "it is a QMP monitor";
  // What arrives is cut at `-`, which is a NAK to the framing.
  if (/^SSH(-|$)/.test(text)) return "it is an SSH server";
  if (/^QEMU .* monitor/.test(text)) return "it is QEMU's human monitor";
  return `it sent ${JSON.stringify(printable(text, 40))}`;
}
