/**
 * One conversation with a stub, pipelined.
 *
 * Source: "Debugging with GDB", appendix E. Requests are written without waiting for the replies before them wherever the way of
 * acknowledging allows it (see link.ts), and replies are matched in order: stubs on a stream handle packets one after the other.
 * What is under way is bounded, in count and in bytes.
 *
 * Terms: the target is `halted` (requests may be sent) or `running` (after a resume; nothing at all may be sent but 0x03).
 *
 * Quirks this rests on (measured on QEMU 7.2 and 10.0):
 * - Any byte that reaches a running QEMU pauses it, even `+`. So a resume is a fence: nothing is written after it until the stop reply or
 *   a deliberate interrupt. Where acknowledgements are sent, it also waits until every reply has come and was acknowledged.
 * - A stub acknowledges a packet before it answers it. So what comes without an acknowledgement before it answers nothing that was asked:
 *   it is a stop that nobody waited for, an answer sent twice, or a defect.
 * - On connect QEMU pauses a running machine and sends a stop reply that nobody asked for; see `unsolicited`.
 * - A packet longer than the stub takes is dropped without a word, and every answer after it would be one place off: see `packetSize`.
 */
import { EbscopeError, type ErrorCode } from "../base/error.ts";
import { latin1, printable } from "../base/text.ts";
import { type Command, decodeReply, type Label, labelText, type Reply } from "./command.ts";
import { type AckMode, Link, type LinkOptions } from "./link.ts";
import { encodePacket } from "./packet.ts";
import { errorReply, parseStopReply, type StopReply } from "./reply.ts";
import { type Pending, RequestQueue } from "./requests.ts";
import { type DueStop, StopQueue } from "./stops.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionOptions extends LinkOptions {
  /** How long one request may take once it is the oldest in flight. Default 5000 ms. */
  readonly deadlineMs?: number;
  /** Requests in flight at once. Default 512. */
  readonly maxInFlight?: number;
  /** Bytes of requests in flight at once. Default 256 KiB. */
  readonly maxInFlightBytes?: number;
  /** Told each notification (`%`): its text without the frame, untrusted. None is acknowledged. */
  readonly onNotification?: (text: string) => void;
  /** Told what a running guest prints through the stub (`O`): hex digits, untrusted. */
  readonly onOutput?: (hexText: string) => void;
}

export interface RequestOptions {
  readonly label: Label;
  readonly deadlineMs?: number;
  /** The answer may be a stop reply (`?`). */
  readonly expectsStop?: boolean;
  /** The answer is bytes of any kind (`x` of LLDB's stubs). */
  readonly anyBytes?: boolean;
  /** Called for each `O` packet before the final reply (qRcmd). Its payload without the `O`. */
  readonly onOutput?: (hexText: string) => void;
}

/** One request of a batch. */
export interface BatchRequest {
  readonly payload: string;
  /** The payload as a packet, if it was encoded before: for what is asked again and again. */
  readonly packet?: Uint8Array;
  readonly label: Label;
}

type State =
  | { readonly kind: "halted" }
  | { readonly kind: "running" }
  | { readonly kind: "closed"; readonly error: EbscopeError };

const INTERRUPT = Uint8Array.of(0x03);
/** Packets of one reply to qRcmd that are accepted before a stub is called endless. */
const MAX_OUTPUT_PACKETS = 100_000;
/** And their digits. */
const MAX_OUTPUT_DIGITS = 8 << 20;
/** Stops that nobody waited for, of which it is told. */
const MAX_UNSOLICITED = 100;
/** As many in a row, with nothing else between them, come from a stub that does not end. */
const MAX_STRAY_STOPS = 1 << 14;
/** Stops that are known by their words, and how long those may be. */
const MAX_READ_STOPS = 32;
const MAX_KEPT_STOP = 256;
/** Packets in a row that answer nothing before a stub is called broken: a few come from repairs on a bad line. */
const MAX_UNASKED = 16;

export class Connection {
  readonly #link: Link;
  readonly #requests: RequestQueue;
  readonly #stops = new StopQueue();
  readonly #options: ConnectionOptions;
  readonly #deadlineMs: number;
  readonly #sendRequest = (bytes: Uint8Array): void => this.#link.send(bytes, true);
  #state: State = { kind: "halted" };
  #lastStop: StopReply | undefined;
  #resumes = 0;
  #stop: StopReply | undefined;
  /** Packets of ours that the stub has acknowledged and not answered yet. */
  #acknowledged = 0;
  #outputs = 0;
  #outputDigits = 0;
  #unasked = 0;
  #strayStops = 0;
  readonly #unsolicited: StopReply[] = [];
  /** What stops were read as, by their words. */
  readonly #readStops = new Map<string, StopReply>();
  #tellEnd: (reason: EbscopeError) => void = () => undefined;
  /** Resolves when the session is over, with why: nobody need ask for anything to be told. Never rejects. */
  readonly ended = new Promise<EbscopeError>((resolve) => {
    this.#tellEnd = resolve;
  });
  /** The longest packet that the stub takes, frame included; a longer one is refused here. */
  packetSize = Number.POSITIVE_INFINITY;

  constructor(transport: Transport, options: ConnectionOptions = {}) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? 5000;
    const bounds = {
      deadlineMs: this.#deadlineMs,
      count: options.maxInFlight ?? 512,
      bytes: options.maxInFlightBytes ?? 256 << 10,
    };
    this.#requests = new RequestQueue(bounds, (head, deadlineMs) => this.#late(head, deadlineMs));
    const handlers = {
      acknowledged: () => void this.#acknowledged++,
      packet: (payload: Uint8Array) => this.#packet(payload),
      notification: (payload: Uint8Array) => this.#options.onNotification?.(latin1(payload)),
      settled: () => this.#settled(),
      maySend: () => !this.running || this.#answerDue,
      repairable: () => this.#requests.head?.onOutput === undefined,
      failed: (code: ErrorCode, what: string, cause?: Error) => this.#fail(code, what, cause),
    };
    this.#link = new Link(transport, handlers, options);
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

  /** The stop after the last resume; undefined before the first. */
  get lastStop(): StopReply | undefined {
    return this.#lastStop;
  }

  /** How often the guest was resumed. */
  get resumes(): number {
    return this.#resumes;
  }

  /** The stop that ended the last of them; undefined while the guest runs, before the first, and when the stub refused. */
  get stop(): StopReply | undefined {
    return this.#stop;
  }

  get ackMode(): AckMode {
    return this.#link.mode;
  }

  /** From now on QEMU's way: no `+` is sent, and requests are pipelined. Only for stubs that are known to take it. */
  async implyAcks(): Promise<void> {
    await this.drain();
    this.#acknowledged = 0;
    if (!this.closed) this.#link.setMode("implied");
  }

  /** Asks for no-acknowledgement mode (QStartNoAckMode); true when the stub agreed, and requests are pipelined from then on. */
  async startNoAckMode(): Promise<boolean> {
    await this.drain();
    const agreed = (await this.requestText("QStartNoAckMode", { label: "QStartNoAckMode" })) === "OK";
    if (agreed && !this.closed) this.#link.setMode("none");
    return agreed;
  }

  /** Sends one command; resolves with what the stub made of it. Rejects only when the session is over, or the guest runs. */
  send<T>(command: Command<T>, options: { readonly deadlineMs?: number } = {}): Promise<Reply<T>> {
    return this.#submit(command.payload, command, options.deadlineMs, command.decode);
  }

  /** Sends many commands at once; resolves with all replies, in order. */
  sendAll<T>(commands: readonly Command<T>[]): Promise<Reply<T>[]> {
    return Promise.all(commands.map((command) => this.send(command)));
  }

  /** Sends one request; resolves with its reply's payload. Many may be sent without waiting. */
  request(payload: string | Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    return this.#submit(payload, options, options.deadlineMs, (reply) => new Uint8Array(reply));
  }

  /** As `request`, with the reply as latin1 text. */
  requestText(payload: string, options: RequestOptions): Promise<string> {
    return this.#submit(payload, options, options.deadlineMs, latin1);
  }

  /** What `decode` throws rejects this request and nothing else. */
  #submit<T>(
    payload: string | Uint8Array,
    { label, expectsStop, anyBytes, onOutput }: Omit<RequestOptions, "deadlineMs">,
    deadlineMs: number | undefined,
    decode: (reply: Uint8Array) => T,
  ): Promise<T> {
    const bytes = encodePacket(payload);
    const refusal = this.#refusal(label, bytes.length);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const answered = (reply: Uint8Array): void => {
        try {
          resolve(decode(reply));
        } catch (error) {
          reject(error);
        }
      };
      this.#requests.add({ label, bytes, deadlineMs, expectsStop, anyBytes, onOutput, resolve: answered, reject });
      this.#pump();
    });
  }

  /**
   * Sends many requests at once; resolves with what `decode` made of each reply, in order, once all have come. Replies are decoded as they
   * come, while the stub is busy with the next ones; what `decode` throws fails the batch.
   */
  batch<T>(requests: readonly BatchRequest[], decode: (reply: Uint8Array, index: number) => T): Promise<T[]> {
    const [first] = requests;
    if (first === undefined) return Promise.resolve([]);
    const refusal = this.#refusal(first.label, Math.min(longest(requests), this.packetSize + 1));
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const batch: Batch<T> = { decode, decoded: new Array(requests.length), left: requests.length, resolve, reject };
      for (let i = 0; i < requests.length; i++) {
        this.#requests.add(new BatchPart(batch, i, requests[i] as BatchRequest));
      }
      this.#pump();
    });
  }

  #refusal(label: Label, length: number): EbscopeError | undefined {
    if (this.#state.kind === "closed") return this.#state.error;
    if (this.#state.kind === "running") {
      return new EbscopeError("internal", `Cannot do this while the guest runs: ${labelText(label)}`);
    }
    if (length <= this.packetSize) return undefined;
    const sizes = `${length} bytes are more than the ${this.packetSize} that the stub takes`;
    return new EbscopeError("internal", `Cannot send a packet (${labelText(label)}): ${sizes}`);
  }

  /** Resolves when nothing is in flight: every reply has come and been acknowledged, or the connection is closed. */
  async drain(): Promise<void> {
    while (this.#requests.busy) await this.#requests.nextIdle();
  }

  /**
   * Lets the guest go for good (`D`): the same fence, and whatever is asked afterwards is refused. `process` has to be named where the stub
   * speaks of processes. Raises `stub-refused` or `stub-unsupported` when the guest was not let go: it is halted as before.
   */
  async detach(process?: bigint): Promise<void> {
    let said = await this.#detach(process === undefined ? "D" : `D;${process.toString(16)}`);
    // QEMU keeps the multiprocess extension that a gdb before us asked for, and wants to be told which process: it has one.
    if (process === undefined && errorReply(said) !== undefined) said = await this.#detach("D;1");
    if (said === "") throw new EbscopeError("stub-unsupported", "Cannot let the guest go: the stub knows no detaching");
    const refused = errorReply(said);
    if (refused === undefined) return;
    throw new EbscopeError(
      "stub-refused",
      `Cannot let the guest go: the stub says ${JSON.stringify(printable(refused, 40))}`,
    );
  }

  /** The answer. While it is waited for nothing else may be sent, nor after it unless the guest was not let go. */
  async #detach(payload: string): Promise<string> {
    await this.drain();
    const answered = this.requestText(payload, { label: "detaching" });
    if (this.#state.kind === "halted") this.#state = { kind: "running" };
    const said = await answered;
    const staysHere = said === "" || errorReply(said) !== undefined;
    if (staysHere && this.#state.kind === "running") this.#state = { kind: "halted" };
    return said;
  }

  /** Ends the guest (`k`), which has no reply, and the connection. */
  async kill(): Promise<void> {
    await this.drain();
    if (this.#state.kind === "halted") {
      this.#link.send(encodePacket("k"), false);
      this.#link.flush();
    }
    await this.close();
  }

  /**
   * Sends a packet that lets the guest run (`c`, `vCont;…`, `s`); its stop, or that the stub refused, comes through `nextStop`. See the
   * fence above: requests that are under way are answered first, and with acknowledgements they are waited for.
   */
  async resume(payload: string): Promise<void> {
    while (this.#requests.busy && !this.#mayFollow) await this.#requests.nextIdle();
    if (this.#state.kind === "closed") throw this.#state.error;
    if (this.#state.kind === "running") throw new EbscopeError("internal", "Cannot resume the guest: it runs already");
    this.#stops.clear();
    this.#state = { kind: "running" };
    this.#resumes++;
    this.#stop = undefined;
    this.#link.send(encodePacket(payload), false);
    this.#link.flush();
  }

  /** Whether a resume may go out right behind the requests that are under way: nothing will be sent when their replies come. */
  get #mayFollow(): boolean {
    return this.#link.mode !== "strict" && this.#requests.unsent === 0;
  }

  /**
   * The next stop after a resume. Rejects with the signal's reason when it is aborted, and with what `due` says when it is late; the guest
   * then still runs.
   */
  nextStop(signal?: AbortSignal, due?: DueStop): Promise<StopReply> {
    const ready = this.#stops.take();
    if (ready !== undefined) return Promise.resolve(ready);
    const refusal = this.#stops.takeRefusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#state.kind === "closed") return Promise.reject(this.#state.error);
    if (this.#state.kind === "halted") {
      return Promise.reject(new EbscopeError("internal", "Cannot wait for a stop: the guest is not running"));
    }
    return this.#stops.wait(signal, due);
  }

  /** Asks a running guest to stop (0x03); the stop arrives through `nextStop`. Nothing when it is halted. */
  interrupt(): void {
    if (this.#state.kind !== "running") return;
    this.#link.sendRaw(INTERRUPT);
    this.#link.flush();
  }

  async close(): Promise<void> {
    this.#fail("connection-lost", "the connection was closed here");
    await this.#link.close();
  }

  #pump(): void {
    const window = this.#link.mode === "strict" ? 1 : Number.POSITIVE_INFINITY;
    this.#requests.takeNext(window, this.#sendRequest);
    this.#link.flushSoon();
  }

  #settled(): void {
    if (this.closed) return;
    this.#pump();
    if (!this.#requests.busy) this.#requests.wakeIdle();
  }

  /** Whether the stub has taken a packet that is without its answer: then this one may be it. */
  get #answerDue(): boolean {
    return this.#link.mode === "none" || this.#acknowledged > 0;
  }

  #packet(payload: Uint8Array): void {
    const { head } = this.#requests;
    if (this.#output(payload, head)) return;
    if (head !== undefined) this.#answer(head, payload);
    else if (this.#state.kind === "running") this.#whileRunning(payload);
    else this.#notAsked(payload, this.#stopOf(payload));
  }

  #answer(head: Pending, payload: Uint8Array): void {
    const stop = this.#answerDue && (head.expectsStop || head.anyBytes) ? undefined : this.#stopOf(payload);
    if (stop !== undefined || !this.#answerDue) {
      this.#notAsked(payload, stop);
      return;
    }
    this.#acknowledged = Math.max(0, this.#acknowledged - 1);
    this.#requests.answered();
    this.#outputs = 0;
    this.#outputDigits = 0;
    this.#unasked = 0;
    this.#strayStops = 0;
    head.resolve(payload);
  }

  /** All requests have been answered: the packet is the stop, or the stub's refusal to resume. */
  #whileRunning(payload: Uint8Array): void {
    const stop = this.#stopOf(payload);
    if (!this.#answerDue) {
      // Older than our resume: the guest may run.
      this.#notAsked(payload, stop);
      return;
    }
    this.#acknowledged = 0;
    this.#unasked = 0;
    this.#strayStops = 0;
    this.#state = { kind: "halted" };
    this.#stop = stop;
    this.#lastStop = stop ?? this.#lastStop;
    if (stop !== undefined) this.#stops.push(stop);
    else this.#stops.refuse(resumeRefused(payload));
  }

  /**
   * A stop that nobody waits for, or an answer to no question: on a bad line a packet may come twice; on a good one the order of all that
   * follows is in doubt.
   */
  #notAsked(payload: Uint8Array, stop: StopReply | undefined): void {
    if (stop !== undefined) {
      if (this.#unsolicited.length < MAX_UNSOLICITED) this.#unsolicited.push(stop);
      if (++this.#strayStops > MAX_STRAY_STOPS) this.#fail("protocol-error", "the stub's stops do not end");
    } else if (this.#link.mode !== "strict" || ++this.#unasked > MAX_UNASKED) {
      const text = printable(latin1(payload.subarray(0, 40)), 20);
      this.#fail("protocol-error", `a reply came to a request that was never sent: ${JSON.stringify(text)}`);
    }
  }

  /** A packet as a stop reply; undefined when it is none. A guest that stops again and again says the same few things. */
  #stopOf(payload: Uint8Array): StopReply | undefined {
    if (!STOP_LETTERS.has(payload[0] ?? 0)) return undefined;
    const text = latin1(payload);
    const known = this.#readStops.get(text);
    if (known !== undefined) return known;
    const stop = parseStopReply(text);
    if (this.#readStops.size >= MAX_READ_STOPS) this.#readStops.clear();
    if (stop !== undefined && text.length <= MAX_KEPT_STOP) this.#readStops.set(text, stop);
    return stop;
  }

  /** Console output: `O` and hex digits; `OK` is a reply. True when the packet was output. */
  #output(payload: Uint8Array, head: Pending | undefined): boolean {
    if (payload[0] !== 0x4f || payload.length < 3 || payload.length % 2 === 0) return false;
    if (head?.anyBytes && this.#answerDue) return false;
    const forHead = head?.onOutput !== undefined;
    if (!forHead && !this.running && this.#answerDue) return false;
    const text = latin1(payload.subarray(1));
    if (!/^[0-9a-f]+$/i.test(text)) return false;
    if (!forHead) this.#options.onOutput?.(text);
    else if (this.#tooMuchOutput(text.length)) this.#fail("protocol-error", "the stub's output does not end");
    else head.onOutput?.(text);
    return true;
  }

  #tooMuchOutput(digits: number): boolean {
    this.#outputDigits += digits;
    return ++this.#outputs > MAX_OUTPUT_PACKETS || this.#outputDigits > MAX_OUTPUT_DIGITS;
  }

  #late({ label }: Pending, deadlineMs: number): void {
    const within = `within ${deadlineMs / 1000} s (${labelText(label)})`;
    if (this.#link.damage === undefined) this.#fail("stub-silent", `no answer ${within}`);
    else this.#fail("protocol-error", `${this.#link.damage}, and nothing in its place ${within}`);
  }

  /** Ends the session. A cause that is an error of ours stands for itself. */
  #fail(code: ErrorCode, what: string, cause?: Error): void {
    if (this.#state.kind === "closed") return;
    const { head } = this.#requests;
    const doing = head === undefined ? undefined : labelText(head.label);
    const context = doing === undefined || what.includes(doing) ? "" : ` (${doing})`;
    const told = `Cannot talk to the stub: ${what}${context}`;
    const reason = cause instanceof EbscopeError ? cause : new EbscopeError(code, told, { cause });
    this.#state = { kind: "closed", error: reason };
    this.#requests.failAll(reason);
    this.#stops.fail(reason);
    this.#tellEnd(reason);
    void this.#link.close();
  }
}

interface Batch<T> {
  readonly decode: (reply: Uint8Array, index: number) => T;
  readonly decoded: T[];
  left: number;
  resolve(decoded: T[]): void;
  reject(error: unknown): void;
}

/** The longest of the packets. Encoding is left for later where it is not needed to know that. */
function longest(requests: readonly BatchRequest[]): number {
  let most = 0;
  for (const { payload, packet } of requests) most = Math.max(most, packet?.length ?? payload.length + 4);
  return most;
}

/** One request of a batch. It is encoded when its turn comes: the stub is at work on the first ones by then. */
class BatchPart<T> implements Pending {
  readonly #batch: Batch<T>;
  readonly #index: number;
  readonly #request: BatchRequest;
  #bytes: Uint8Array | undefined;

  constructor(batch: Batch<T>, index: number, request: BatchRequest) {
    this.#batch = batch;
    this.#index = index;
    this.#request = request;
    this.#bytes = request.packet;
  }

  get label(): Label {
    return this.#request.label;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= encodePacket(this.#request.payload);
    return this.#bytes;
  }

  resolve(reply: Uint8Array): void {
    const batch = this.#batch;
    try {
      batch.decoded[this.#index] = batch.decode(reply, this.#index);
    } catch (error) {
      batch.reject(error);
    }
    if (--batch.left === 0) batch.resolve(batch.decoded);
  }

  reject(error: EbscopeError): void {
    this.#batch.reject(error);
  }
}

const STOP_LETTERS: ReadonlySet<number> = new Set(Buffer.from("STWXwN"));

function resumeRefused(payload: Uint8Array): EbscopeError {
  const reply = decodeReply(payload, () => undefined);
  if (reply.kind === "unsupported") {
    return new EbscopeError("stub-unsupported", "Cannot resume the guest: the stub does not know this packet");
  }
  const said = reply.kind === "ok" ? "" : JSON.stringify(printable(reply.text, 40));
  return new EbscopeError("stub-refused", `Cannot resume the guest: the stub says ${said}`);
}
