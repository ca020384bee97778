/**
 * The bridge: guests, their captures, and what happens to them, for any number of clients. It knows no client: the server in front of it
 * checks what comes in, hands calls over, and streams the log.
 */
import type { MethodName } from "../api/protocol.ts";
import { virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { parseInteger } from "../base/hex.ts";
import { Captures } from "./captures.ts";
import { EventWriter, type WriterProblem } from "./event-writer.ts";
import { type Attach, Guests } from "./guests.ts";
import type { Handlers } from "./handlers.ts";
import type { CaptureStore, EventLog } from "./ports.ts";

export interface BridgeOptions {
  readonly log: Pick<EventLog, "append">;
  readonly captures: CaptureStore;
  /** Of ebscope: `0.1.0`. */
  readonly version: string;
  /** Bytes that were cut off the log when it was opened. Default 0. */
  readonly cut?: number;
  readonly attach?: Attach;
  /** Told when events cannot be written. */
  readonly onProblem?: (problem: WriterProblem) => void;
}

/** The methods that the server has itself: those of the connection, and about the protocol. */
type ServerMethod = Extract<MethodName, `Bridge.${string}` | `Stream.${string}`>;
export type BridgeHandlers = Required<Omit<Handlers, ServerMethod>>;

/** What one `Memory.read` gives at most, in bytes: the schema says so too. */
const MEMORY_READ = 1 << 20;
/** Seconds. */
const FIND_TIMEOUT = 60;

/** Opens the bridge and tells of it. The log and the store are not closed with it. */
export async function createBridge(options: BridgeOptions): Promise<Bridge> {
  const bridge = new Bridge(options);
  await bridge.begin();
  return bridge;
}

export class Bridge implements AsyncDisposable {
  readonly captures: Captures;
  readonly guests: Guests;
  readonly handlers: BridgeHandlers;
  readonly #options: BridgeOptions;
  readonly #writer: EventWriter;
  #closing: Promise<void> | undefined;

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#writer = new EventWriter(options.log, options.onProblem);
    const common = { writer: this.#writer, createdBy: `ebscope ${options.version}` };
    this.captures = new Captures({ ...common, store: options.captures });
    this.guests = new Guests({ ...common, ...(options.attach !== undefined && { attach: options.attach }) });
    this.handlers = { ...this.#ofGuests(), ...this.#ofStopped(), ...this.#ofCaptures() };
  }

  begin(): Promise<void> {
    const { version, cut = 0 } = this.#options;
    return this.#writer.tell({ kind: "bridge.started", target: null, capture: null, data: { version, cut } });
  }

  /** Ends captures, and lets all guests go as they were found. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.captures.close();
    await this.guests.close();
    await this.#writer.close();
  }

  #ofGuests() {
    const { guests } = this;
    return {
      "Target.attach": (params, { signal }) => guests.attach(params, signal),
      "Target.detach": (params) => guests.detach(params),
      "Target.list": async () => guests.list(),
      "Target.status": async ({ target }) => guests.get(target).json,
      "Target.resume": async ({ target }, { signal }) => guests.get(target).resume(signal),
      "Target.interrupt": async ({ target }, { signal }) => guests.get(target).interrupt(signal),
      "Target.step": async ({ target, cpu }, { signal }) => guests.get(target).step(cpu, signal),
      "Breakpoint.list": async ({ target }) => guests.get(target).breakpoints.list(),
      "Registers.watch": async ({ target, ...wanted }, { signal }) => guests.get(target).watch(wanted, signal),
    } satisfies Handlers;
  }

  #ofStopped() {
    const { guests } = this;
    return {
      "Breakpoint.insert": async ({ target, address, service, findTimeout = FIND_TIMEOUT }, { signal }) => {
        const guest = guests.get(target);
        if ((address === undefined) === (service === undefined)) {
          throw new EbscopeError("usage", "Cannot insert a breakpoint: give either `address` or `service`");
        }
        if (address === undefined) return guest.insertAtExitBootServices(findTimeout * 1000, signal);
        const at = virt(wordOf(address));
        return guest.whileStopped(() => guest.breakpoints.insert(at), signal);
      },
      "Breakpoint.remove": async ({ target, breakpoint }, { signal }) => {
        const guest = guests.get(target);
        await guest.whileStopped(() => guest.breakpoints.remove(breakpoint), signal);
        return {};
      },
      "Registers.get": async ({ target, names, cpu }, { signal }) =>
        guests.get(target).whileStopped((view) => view.registers(names, cpu), signal),
      "Memory.read": async ({ target, address, length, physical = false, cpu }, { signal }) => {
        const span = { address: wordOf(address), length: Math.min(length, MEMORY_READ), physical, cpu };
        const read = await guests.get(target).whileStopped((view) => view.memory(span), signal);
        if (read.state !== "present") return { address, bytes: null, code: read.code };
        return { address, bytes: Buffer.from(read.bytes).toString("base64"), code: null };
      },
      "PageTable.explain": async ({ target, va, ...scope }, { signal }) => {
        const at = wordOf(va);
        return guests.get(target).whileStopped((view) => view.explain(at, scope), signal);
      },
      "PageTable.list": async ({ target, ...scope }, { signal }) =>
        guests.get(target).whileStopped((view) => view.mappings(scope), signal),
    } satisfies Handlers;
  }

  #ofCaptures() {
    const { captures, guests } = this;
    return {
      "Capture.start": async (params) => captures.start(guests.get(params.target), params),
      "Capture.wait": async ({ capture }, { signal }) => captures.wait(capture, signal),
      "Capture.cancel": async ({ capture }, { signal }) => captures.cancel(capture, signal),
      "Capture.list": async () => captures.list(),
      "Capture.get": async ({ capture }) => captures.get(capture),
      "Capture.diff": async ({ capture, from, to }) => captures.diff(capture, { from, to }),
      "Capture.findings": async ({ capture }) => captures.findings(capture),
      "Capture.blame": async ({ capture, ...choice }) => captures.blame(capture, choice),
    } satisfies Handlers;
  }
}

/** A 64-bit value that the schema lets through at any width. */
function wordOf(text: string): bigint {
  const value = parseInteger(text);
  if (value !== undefined) return value;
  throw new EbscopeError(
    "usage",
    `Cannot read the address ${JSON.stringify(text.slice(0, 40))}: it has more than 64 bits`,
  );
}
