/**
 * One conversation with a stub, pipelined.
 *
 * Source: "Debugging with GDB", appendix E. Requests are written without waiting for the replies before them, and replies are
 * matched in order: stubs on a stream handle packets one after the other. The number in flight is bounded.
 *
 * Terms: the target is `halted` (requests may be sent) or `running` (after a resume; nothing at all may be sent but 0x03).
 *
 * Quirks this rests on (measured on QEMU 7.2 and 10.0):
 * - Any byte that reaches a running QEMU pauses it, even `+`. So a resume is a fence: it waits until every reply has come and
 *   been acknowledged, and after it nothing is written until the stop reply or a deliberate interrupt.
 * - QEMU offers no QStartNoAckMode. Each reply is acknowledged, the acknowledgements of one chunk in one write. QEMU takes the `$` of
 *   the next request as an acknowledgement and never waits for one: with `impliedAcks` no `+` is sent at all.
 * - On connect QEMU pauses a running machine and sends a stop reply that nobody asked for; see `unsolicited`.
 */
import { abortError } from "../base/abort.ts";
import { EbscopeError, type ErrorCode } from "../base/error.ts";
import { latin1, printable } from "../base/text.ts";
import { encodePacket, type Frame, PacketDecoder } from "./packet.ts";
import { errorReply, parseStopReply, type StopReply } from "./reply.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionOptions {
  /** How long one request may take once it is the oldest in flight. Default 5000 ms. */
  readonly deadlineMs?: number;
  /** Requests in flight at once. Default 512. */
  readonly maxInFlight?: number;
}

/** What is being done, for error messages: "reading SCTLR_EL1". A function is asked only when it is needed. */
export type Label = string | (() => string);

export interface RequestOptions {
  readonly label: Label;
  readonly deadlineMs?: number;
  /** The answer may be a stop reply (`?`, `s`). */
  readonly expectsStop?: boolean;
  /** Called for each `O` packet before the final reply (qRcmd). Its payload without the `O`. */
  readonly onOutput?: (hexText: string) => void;
}

interface Pending extends RequestOptions {
  readonly bytes: Uint8Array;
  readonly resolve: (reply: Uint8Array) => void;
  readonly reject: (error: EbscopeError) => void;
}

/** One request of a batch. */
export interface BatchRequest {
  readonly payload: string;
  readonly label: Label;
}

function labelText(label: Label): string {
  return typeof label === "string" ? label : label();
}

interface StopWaiter {
  resolve(stop: StopReply): void;
  reject(error: EbscopeError): void;
}

type State =
  | { readonly kind: "halted" }
  | { readonly kind: "running" }
  | { readonly kind: "closed"; readonly error: EbscopeError };

const ACKS = Buffer.alloc(256, "+");
const INTERRUPT = Uint8Array.of(0x03);
/** Packets of one reply to qRcmd, or of console output, that are accepted before a stub is called endless. */
const MAX_OUTPUT_PACKETS = 100_000;

export class Connection {
  readonly #transport: Transport;
  readonly #decoder = new PacketDecoder();
  readonly #deadlineMs: number;
  readonly #maxInFlight: number;
  #state: State = { kind: "halted" };
  /** Sent, in the order of the replies to come. */
  #inFlight: Pending[] = [];
  #queued: Pending[] = [];
  #outbox: Uint8Array[] = [];
  #flushing = false;
  #timer: NodeJS.Timeout | undefined;
  /** When the oldest request in flight became the oldest. */
  #headSince = 0;
  #unacknowledged = 0;
  /** The stub takes the next request as an acknowledgement: no `+` is sent. */
  impliedAcks = false;
  #heardPacket = false;
  #outputs = 0;
  #stops: StopReply[] = [];
  readonly #stopWaiters = new Set<StopWaiter>();
  #idleWaiters: (() => void)[] = [];
  #unsolicited: StopReply[] = [];

  constructor(transport: Transport, options: ConnectionOptions = {}) {
    this.#transport = transport;
    this.#deadlineMs = options.deadlineMs ?? 5000;
    this.#maxInFlight = options.maxInFlight ?? 512;
    transport.start({
      data: (chunk) => this.#receive(chunk),
      closed: (cause) => this.#fail("connection-lost", "the stub closed the connection", cause),
    });
  }

  /** How long a request may take unless it says otherwise. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  get running(): boolean {
    return this.#state.kind === "running";
  }

  get closed(): boolean {
    return this.#state.kind === "closed";
  }

  /** Stop replies that arrived while nothing was resumed: QEMU sends one on connect if it had to pause the machine. */
  get unsolicited(): readonly StopReply[] {
    return this.#unsolicited;
  }

  /** Sends one request; resolves with its reply's payload. Many may be sent without waiting. */
  request(payload: string | Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    const refusal = this.#refusal(options.label);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#queued.push({ ...options, bytes: encodePacket(payload), resolve, reject });
      this.#pump();
    });
  }

  /**
   * Sends many requests at once; resolves with what `decode` made of each reply, in order. Replies are decoded as they come, while
   * the stub is busy with the next ones.
   */
  batch<T>(requests: readonly BatchRequest[], decode: (reply: Uint8Array, index: number) => T): Promise<T[]> {
    const [first] = requests;
    if (first === undefined) return Promise.resolve([]);
    const refusal = this.#refusal(first.label);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const decoded: T[] = new Array(requests.length);
      let left = requests.length;
      requests.forEach(({ payload, label }, i) => {
        this.#queued.push({
          label,
          bytes: encodePacket(payload),
          resolve: (reply) => {
            decoded[i] = decode(reply, i);
            if (--left === 0) resolve(decoded);
          },
          reject,
        });
      });
      this.#pump();
    });
  }

  #refusal(label: Label): EbscopeError | undefined {
    if (this.#state.kind === "closed") return this.#state.error;
    if (this.#state.kind === "halted") return undefined;
    return new EbscopeError("internal", `Cannot do this while the guest runs: ${labelText(label)}`);
  }

  /** As `request`, with the reply as latin1 text. */
  async requestText(payload: string, options: RequestOptions): Promise<string> {
    const reply = await this.request(payload, options);
    return latin1(reply);
  }

  /** Resolves when nothing is in flight: every reply has come and been acknowledged, or the connection is closed. */
  async drain(): Promise<void> {
    while (this.#busy) await this.#nextIdle();
  }

  /** Lets the guest go for good (`D`): the same fence, and whatever is asked afterwards is refused. */
  async detach(): Promise<void> {
    const refused = errorReply(await this.#detach("D")) !== undefined;
    // QEMU keeps the multiprocess extension that a gdb before us asked for, and wants to be told which process: it has one.
    if (refused && this.#state.kind === "running") {
      this.#state = { kind: "halted" };
      await this.#detach("D;1");
    }
  }

  async #detach(payload: string): Promise<string> {
    while (this.#busy) await this.#nextIdle();
    const answered = this.requestText(payload, { label: "detaching" });
    if (this.#state.kind === "halted") this.#state = { kind: "running" };
    return answered;
  }

  /** Sends a packet that lets the guest run (`c`, `vCont;c`). Waits for all replies first; see the fence above. */
  async resume(payload: string): Promise<void> {
    while (this.#busy) await this.#nextIdle();
    if (this.#state.kind === "closed") throw this.#state.error;
    if (this.#state.kind === "running") throw new EbscopeError("internal", "Cannot resume the guest: it runs already");
    this.#stops = [];
    this.#outputs = 0;
    this.#state = { kind: "running" };
    this.#outbox.push(encodePacket(payload));
    this.#flush();
  }

  /** The next stop after a resume. Rejects with the signal's reason when it is aborted; the guest then still runs. */
  nextStop(signal?: AbortSignal): Promise<StopReply> {
    const ready = this.#stops.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#state.kind === "closed") return Promise.reject(this.#state.error);
    if (this.#state.kind === "halted") {
      return Promise.reject(new EbscopeError("internal", "Cannot wait for a stop: the guest is not running"));
    }
    if (signal?.aborted) return Promise.reject(abortError(signal));
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#stopWaiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        settle();
        reject(abortError(signal as AbortSignal));
      };
      const waiter: StopWaiter = {
        resolve: (stop) => {
          settle();
          resolve(stop);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#stopWaiters.add(waiter);
    });
  }

  /** Asks a running guest to stop (0x03); the stop arrives through `nextStop`. Nothing when it is halted. */
  interrupt(): void {
    if (this.#state.kind !== "running") return;
    this.#outbox.push(INTERRUPT);
    this.#flush();
  }

  async close(): Promise<void> {
    this.#fail("connection-lost", "the connection was closed here");
    await this.#transport.close();
  }

  get #busy(): boolean {
    return this.#inFlight.length > 0 || this.#queued.length > 0;
  }

  /**
   * To be awaited in a loop that looks again, with nothing else awaited before the resume that it fences: a reply may give rise to
   * the next request before the one who waits goes on.
   */
  #nextIdle(): Promise<void> {
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #pump(): void {
    // Topped up in large pieces: a write for each reply that comes costs more than the replies.
    if (this.#queued.length > 0 && this.#inFlight.length <= this.#maxInFlight / 2) {
      const next = this.#queued.splice(0, this.#maxInFlight - this.#inFlight.length);
      if (this.#inFlight.length === 0) this.#headSince = performance.now();
      for (const pending of next) {
        this.#inFlight.push(pending);
        this.#outbox.push(pending.bytes);
      }
      this.#timer ??= setTimeout(() => this.#checkDeadline(), this.#headDeadline());
    }
    if (this.#outbox.length === 0 || this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const parts = this.#outbox;
    if (parts.length === 0) return;
    this.#outbox = [];
    this.#transport.write(parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts));
  }

  #headDeadline(): number {
    return Math.min(this.#inFlight[0]?.deadlineMs ?? this.#deadlineMs, this.#deadlineMs);
  }

  /** The deadline of the oldest request in flight. One timer serves many requests: it looks again when it was early. */
  #checkDeadline(): void {
    this.#timer = undefined;
    const head = this.#inFlight[0];
    if (head === undefined) return;
    const deadlineMs = head.deadlineMs ?? this.#deadlineMs;
    const left = this.#headSince + deadlineMs - performance.now();
    if (left > 0) this.#timer = setTimeout(() => this.#checkDeadline(), left);
    // Not at once: when this process itself was stopped for a while, the answer may lie there unread.
    else setImmediate(() => this.#giveUpOn(head, deadlineMs));
  }

  #giveUpOn(head: Pending, deadlineMs: number): void {
    if (this.#inFlight[0] === head) {
      this.#fail("stub-silent", `no answer within ${deadlineMs / 1000} s (${labelText(head.label)})`);
    } else if (this.#inFlight.length > 0) {
      this.#timer ??= setTimeout(() => this.#checkDeadline(), this.#headDeadline());
    }
  }

  #receive(chunk: Uint8Array): void {
    if (this.#state.kind === "closed") return;
    for (const frame of this.#decoder.push(chunk)) {
      if (frame.kind === "packet") this.#unacknowledged++;
      this.#frame(frame);
      if (this.closed) return;
    }
    if (!this.impliedAcks) this.#acknowledge();
    this.#pump();
    this.#flush();
    if (!this.#busy) this.#wakeIdle();
  }

  /** The guest is halted whenever a packet has come (a reply, or the stop itself), so this never disturbs a running one. */
  #acknowledge(): void {
    const count = this.#unacknowledged;
    this.#unacknowledged = 0;
    for (let left = count; left > 0; left -= ACKS.length)
      this.#outbox.push(ACKS.subarray(0, Math.min(left, ACKS.length)));
  }

  #wakeIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }

  #frame(frame: Frame): void {
    switch (frame.kind) {
      case "packet":
        this.#heardPacket = true;
        this.#packet(frame.payload);
        return;
      case "corrupt":
        this.#fail("protocol-error", `a corrupt packet arrived (${frame.why})`);
        return;
      case "nak":
        this.#fail("protocol-error", "the stub did not accept a packet (NAK)");
        return;
      case "noise":
        this.#noise(frame.bytes);
        return;
      case "ack":
      case "notification":
        return;
    }
  }

  #noise(bytes: Uint8Array): void {
    if (this.#heardPacket) return;
    const text = latin1(bytes.subarray(0, 80));
    this.#fail("not-a-gdbstub", `the other side does not speak the GDB remote protocol: ${guessSpeaker(text)}`);
  }

  #packet(payload: Uint8Array): void {
    const first = payload[0];
    if (first === 0x4f && payload.length > 1 && this.#output(payload)) return;
    const head = this.#inFlight[0];
    if (mayBeStop(first) && head?.expectsStop !== true) {
      const stop = parseStopReply(latin1(payload));
      if (stop !== undefined) {
        this.#stopped(stop);
        return;
      }
    }
    if (head === undefined) return;
    this.#inFlight.shift();
    this.#outputs = 0;
    this.#headSince = performance.now();
    head.resolve(payload);
  }

  /** Console output: `O` and hex digits. `OK` is a reply. True when the packet was output. */
  #output(payload: Uint8Array): boolean {
    const text = latin1(payload.subarray(1));
    if (text === "K") return false;
    const head = this.#inFlight[0];
    if (head?.onOutput === undefined && !this.running) return false;
    if (++this.#outputs > MAX_OUTPUT_PACKETS) this.#fail("protocol-error", "the stub's output does not end");
    else head?.onOutput?.(text);
    return true;
  }

  #stopped(stop: StopReply): void {
    if (this.#state.kind !== "running") {
      if (this.#unsolicited.length < 100) this.#unsolicited.push(stop);
      return;
    }
    this.#state = { kind: "halted" };
    if (this.#stopWaiters.size === 0) this.#stops.push(stop);
    for (const waiter of this.#stopWaiters) waiter.resolve(stop);
  }

  #fail(code: ErrorCode, what: string, cause?: unknown): void {
    if (this.#state.kind === "closed") return;
    clearTimeout(this.#timer);
    const head = this.#inFlight[0];
    const doing = head === undefined ? undefined : labelText(head.label);
    const context = doing === undefined || what.includes(doing) ? "" : ` (${doing})`;
    const error = new EbscopeError(code, `Cannot talk to the stub: ${what}${context}`, { cause });
    this.#state = { kind: "closed", error };
    const waiting = [...this.#inFlight, ...this.#queued];
    this.#inFlight = [];
    this.#queued = [];
    this.#outbox = [];
    for (const pending of waiting) pending.reject(error);
    for (const waiter of this.#stopWaiters) waiter.reject(error);
    this.#wakeIdle();
    if (code !== "connection-lost") void this.#transport.close();
  }
}

function mayBeStop(byte: number | undefined): boolean {
  return byte === 0x54 || byte === 0x53 || byte === 0x57 || byte === 0x58;
}

function guessSpeaker(text: string): string {
  if (/^HTTP\//.test(text)) return "it is an HTTP server";
  if (/^\s*\{\s*"QMP"/.test(text)) return "it is a QMP monitor";
  // What arrives is cut at `-`, which is a NAK to the framing.
  if (/^SSH(-|$)/.test(text)) return "it is an SSH server";
  if (/^QEMU .* monitor/.test(text)) return "it is QEMU's human monitor";
  return `it sent ${JSON.stringify(printable(text, 40))}`;
}
