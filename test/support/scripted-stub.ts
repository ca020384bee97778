/**
 * A gdbstub for tests, on a unix socket or a tcp port. Unscripted it behaves as QEMU 7.2 does with an AArch64 guest; a test scripts where
 * it does not. It shares no code with what it tests: framing, escapes and checksums are its own.
 *
 * What was read off a QEMU 7.2.22 and is copied here, as clients come to depend on it:
 * - Connecting pauses a running machine and sends `T02thread:01;`. A second client is accepted and not served until the first leaves.
 * - Requests are handled in order; `+` answers each, then the reply. `p` is answered with nothing until target.xml was read.
 * - While the machine runs any byte stops it, unless a packet of the stub's own waits for its acknowledgement.
 * - The physical memory mode and the breakpoints belong to the machine: they outlive the connection. `D` removes breakpoints and resumes.
 * - Physical reads where there is nothing give zeros; a read of more than half a packet gives E22.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GENERAL, MEMORY, MONITOR, physicalByte, registerHex, SYSTEM_REGISTERS, TARGET_XML } from "./stub-machine.ts";

/** What the stub does with one request, instead of answering as QEMU would. */
export type Answer =
  | { readonly kind: "reply"; readonly payload: string }
  /** Latin1 bytes that go out as they are, after no acknowledgement of ours. */
  | { readonly kind: "raw"; readonly bytes: string }
  | { readonly kind: "raw-then-close"; readonly bytes: string }
  /** `head` once, then `bytes` again and again until the client goes. */
  | { readonly kind: "endless"; readonly head: string; readonly bytes: string }
  /** The bytes one at a time, `everyMs` apart, in the place of the answer. */
  | { readonly kind: "trickle"; readonly bytes: string; readonly everyMs: number }
  /** As QEMU would, but that much later; requests wait for the ones before them. */
  | { readonly kind: "late"; readonly ms: number }
  | { readonly kind: "silence" };

export interface Script {
  /** Asked for each request with its number in the session, from 0; undefined: answer as QEMU would. */
  readonly answer?: (request: string, index: number) => Answer | undefined;
  /** Sent as soon as a client is there: another protocol's greeting. The stub then treats no byte as a packet. */
  readonly greeting?: string;
  /** Another protocol: answers whatever arrives first with these bytes. */
  readonly speaks?: string;
  /** A running guest does not stop for 0x03. */
  readonly deaf?: boolean;
  /** Called instead of stepping or running: `c` and `vCont;…` get no stop of the stub's own. */
  readonly onResume?: (request: string) => void;
}

export interface StubOptions {
  readonly listen?: "unix" | "tcp";
  readonly script?: Script;
  /** Whether the guest runs when the debugger comes. */
  readonly running?: boolean;
  readonly cpus?: number;
  /** What qSupported says, as a number; requests longer than that are dropped without a word. */
  readonly packetSize?: number;
  readonly physMode?: "0" | "1";
  /** Collect requests until `answerHeld`. */
  readonly hold?: boolean;
  /** Send replies one byte a write. */
  readonly bytewise?: boolean;
}

/** What one client did. */
export interface Session {
  /** Every byte that it sent, latin1. */
  wire: string;
  /** Its requests, unescaped. */
  readonly requests: string[];
  acks: number;
  naks: number;
  badChecksums: number;
  /** Bytes but 0x03 that reached the running machine. */
  stray: string;
  interrupts: number;
  ended: boolean;
}

export interface ScriptedStub {
  readonly address:
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number };
  readonly sessions: readonly Session[];
  /** The newest session. */
  readonly session: Session;
  readonly running: boolean;
  readonly physMode: string;
  /** The mode that the options asked for: what a client has to leave behind. */
  readonly foundPhysMode: string;
  /** Breakpoints in the machine, as `type,address,kind`, in the order of insertion; an address may stand there twice. */
  readonly breakpoints: readonly string[];
  /** Physical addresses outside RAM and ROM that were read in physical mode, and reads in virtual mode. */
  readonly badReads: readonly string[];
  /** Requests that wait for `answerHeld`, and the most that ever did. */
  readonly held: number;
  readonly mostHeld: number;
  /** Replaces the script; `{}` makes it a plain QEMU. */
  rescript(script: Script): void;
  answerHeld(): void;
  /** The machine's own monitor lets the guest run. */
  run(): void;
  /** The guest stops by itself: a stop reply goes out. */
  stop(reply?: string): void;
  /** Sends bytes out of turn. */
  send(bytes: string): void;
  /** Cuts the connection. */
  hangUp(): void;
  close(): Promise<void>;
}

export const reply = (payload: string): Answer => ({ kind: "reply", payload });
export const raw = (bytes: string): Answer => ({ kind: "raw", bytes });
export const silence: Answer = { kind: "silence" };

/** `$payload#checksum`, nothing escaped. */
export function frame(payload: string): string {
  let sum = 0;
  for (const char of payload) sum = (sum + char.charCodeAt(0)) % 256;
  return `$${payload}#${(sum < 16 ? "0" : "") + sum.toString(16)}`;
}

/** Starts a stub; it listens when this resolves. */
export async function startStub(options: StubOptions = {}): Promise<ScriptedStub> {
  const stub = new Stub(options);
  await stub.listen();
  return stub;
}

class Stub implements ScriptedStub {
  address: ScriptedStub["address"];
  readonly sessions: Session[] = [];
  readonly breakpoints: string[] = [];
  readonly badReads: string[] = [];
  running: boolean;
  physMode: string;
  mostHeld = 0;
  script: Script;
  readonly options: Required<Omit<StubOptions, "script">>;
  readonly #server: Server;
  readonly #folder: string | undefined;
  readonly #waiting: Socket[] = [];
  #client: Client | undefined;

  constructor(options: StubOptions) {
    const { script, ...rest } = options;
    this.script = script ?? {};
    this.options = {
      listen: "unix",
      running: false,
      cpus: 2,
      packetSize: 0x1000,
      physMode: "0",
      hold: false,
      bytewise: false,
      ...rest,
    };
    this.running = this.options.running;
    this.physMode = this.options.physMode;
    this.#server = createServer({ allowHalfOpen: false }, (socket) => this.#arrived(socket));
    this.#folder = this.options.listen === "unix" ? mkdtempSync(join(tmpdir(), "stub-")) : undefined;
    this.address =
      this.#folder === undefined
        ? { kind: "tcp", host: "127.0.0.1", port: 0 }
        : { kind: "unix", path: join(this.#folder, "s") };
  }

  listen(): Promise<void> {
    return new Promise((resolve) => {
      if (this.address.kind === "unix") return this.#server.listen(this.address.path, resolve);
      return this.#server.listen(0, this.address.host, () => {
        this.address = { kind: "tcp", host: "127.0.0.1", port: (this.#server.address() as { port: number }).port };
        resolve();
      });
    });
  }

  get session(): Session {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error("nobody has connected to the scripted stub");
    return session;
  }

  get foundPhysMode(): string {
    return this.options.physMode;
  }

  get held(): number {
    return this.#client?.held.length ?? 0;
  }

  rescript(script: Script): void {
    this.script = script;
  }

  answerHeld(): void {
    this.#client?.answerHeld();
  }

  run(): void {
    this.running = true;
  }

  stop(text = "T05thread:01;"): void {
    this.running = false;
    this.#client?.packet(text);
  }

  send(bytes: string): void {
    this.#client?.write(bytes);
  }

  hangUp(): void {
    this.#client?.hangUp();
  }

  async close(): Promise<void> {
    for (const socket of this.#waiting) socket.destroy();
    this.hangUp();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #arrived(socket: Socket): void {
    socket.on("error", () => undefined);
    if (this.#client === undefined) this.#serve(socket);
    else this.#waiting.push(socket.pause());
  }

  #serve(socket: Socket): void {
    const session: Session = {
      wire: "",
      requests: [],
      acks: 0,
      naks: 0,
      badChecksums: 0,
      stray: "",
      interrupts: 0,
      ended: false,
    };
    this.sessions.push(session);
    const client = new Client(this, socket, session);
    this.#client = client;
    socket.on("close", () => {
      session.ended = true;
      client.gone = true;
      this.#client = undefined;
      const next = this.#waiting.shift();
      if (next !== undefined && !next.destroyed) this.#serve(next);
    });
    socket.on("data", (chunk) => client.receive(chunk));
    client.greet();
    socket.resume();
  }
}

/** One connection: framing in the manner of QEMU's gdb_read_byte, and the answers. */
class Client {
  readonly held: string[] = [];
  gone = false;
  readonly #stub: Stub;
  readonly #socket: Socket;
  readonly #session: Session;
  #state: "idle" | "body" | "escape" | "sum1" | "sum2" = "idle";
  #body = "";
  #sum = 0;
  #told = "";
  /** A packet of ours waits for `+`. */
  #unacknowledged = false;
  #describedItself = false;
  #cpu = 0;
  #threadsListed = 0;
  /** The last answer that comes late. */
  #later: Promise<unknown> = Promise.resolve();

  constructor(stub: Stub, socket: Socket, session: Session) {
    this.#stub = stub;
    this.#socket = socket;
    this.#session = session;
    socket.setNoDelay(true);
  }

  greet(): void {
    const { greeting } = this.#stub.script;
    if (greeting !== undefined) this.write(greeting);
    else if (this.#stub.running && this.#stub.script.speaks === undefined) this.#stub.stop("T02thread:01;");
  }

  hangUp(): void {
    this.#socket.destroy();
  }

  write(bytes: string): void {
    if (this.gone || this.#socket.destroyed) return;
    if (!this.#stub.options.bytewise) this.#socket.write(bytes, "latin1");
    else for (const char of bytes) this.#socket.write(char, "latin1");
  }

  packet(payload: string): void {
    this.#unacknowledged = true;
    this.write(frame(payload.replace(/[#$}*]/g, (char) => `}${String.fromCharCode(char.charCodeAt(0) ^ 0x20)}`)));
  }

  receive(chunk: Buffer): void {
    const { script } = this.#stub;
    this.#session.wire += chunk.toString("latin1");
    if (script.speaks !== undefined) this.write(script.speaks);
    if (script.speaks !== undefined || script.greeting !== undefined) return;
    for (const byte of chunk) this.#byte(byte, String.fromCharCode(byte));
  }

  #byte(byte: number, char: string): void {
    if (this.#state === "idle") {
      if (char === "+") this.#session.acks++;
      if (char === "-") this.#session.naks++;
    }
    if (this.#unacknowledged) {
      if (char === "+" || char === "$") this.#unacknowledged = false;
      if (char !== "$") return;
    }
    if (this.#stub.running) this.#whileRunning(byte, char);
    else this.#framed(byte, char);
  }

  #framed(byte: number, char: string): void {
    switch (this.#state) {
      case "idle":
        if (char === "$") this.#begin();
        return;
      case "body":
        if (char === "#") {
          this.#state = "sum1";
          return;
        }
        this.#sum = (this.#sum + byte) % 256;
        if (char === "}") this.#state = "escape";
        else this.#body += char;
        return;
      case "escape":
        this.#sum = (this.#sum + byte) % 256;
        this.#body += String.fromCharCode(byte ^ 0x20);
        this.#state = "body";
        return;
      case "sum1":
        this.#told = char;
        this.#state = "sum2";
        return;
      case "sum2":
        this.#state = "idle";
        this.#end(Number.parseInt(this.#told + char, 16));
    }
  }

  #begin(): void {
    this.#body = "";
    this.#sum = 0;
    this.#state = "body";
  }

  /** Any byte stops a running QEMU. */
  #whileRunning(byte: number, char: string): void {
    if (byte === 0x03) this.#session.interrupts++;
    else this.#session.stray += char;
    if (!this.#stub.script.deaf) this.#stub.stop("T02thread:01;");
  }

  #end(told: number): void {
    if (told !== this.#sum) {
      this.#session.badChecksums++;
      this.write("-");
      return;
    }
    if (this.#body.length > this.#stub.options.packetSize) return;
    this.#session.requests.push(this.#body);
    if (this.#stub.options.hold) this.held.push(this.#body);
    else this.#handle(this.#body, this.#session.requests.length - 1);
    this.#stub.mostHeld = Math.max(this.#stub.mostHeld, this.held.length);
  }

  answerHeld(): void {
    const first = this.#session.requests.length - this.held.length;
    for (const [i, request] of this.held.splice(0).entries()) this.#handle(request, first + i);
  }

  #handle(request: string, index: number): void {
    const answer = this.#stub.script.answer?.(request, index);
    if (answer === undefined) {
      this.#answerAsQemu(request);
      return;
    }
    switch (answer.kind) {
      case "reply":
        this.write("+");
        this.packet(answer.payload);
        return;
      case "raw":
        this.write(answer.bytes);
        return;
      case "raw-then-close":
        this.#socket.end(answer.bytes, "latin1");
        return;
      case "endless":
        this.write(answer.head);
        this.#flood(Buffer.from(answer.bytes, "latin1"));
        return;
      case "trickle":
        this.#trickle(answer.bytes, answer.everyMs);
        return;
      case "late":
        this.#later = this.#later
          .then(() => new Promise((resolve) => setTimeout(resolve, answer.ms)))
          .then(() => this.#answerAsQemu(request));
        return;
      case "silence":
        return;
    }
  }

  #answerAsQemu(request: string): void {
    this.write("+");
    this.#asQemu(request);
  }

  #trickle(bytes: string, everyMs: number): void {
    if (this.gone || bytes === "") return;
    this.write(bytes.slice(0, 1));
    setTimeout(() => this.#trickle(bytes.slice(1), everyMs), everyMs);
  }

  #flood(bytes: Buffer): void {
    if (this.gone || this.#socket.destroyed) return;
    if (this.#socket.write(bytes)) setImmediate(() => this.#flood(bytes));
    else if (this.#socket.listenerCount("drain") === 0) this.#socket.once("drain", () => this.#flood(bytes));
  }

  #asQemu(request: string): void {
    const [, command] = /^qRcmd,(.*)$/.exec(request) ?? [];
    if (request === "c" || request.startsWith("vCont;")) this.#resume(request);
    else if (request === "D") this.#detach();
    else if (command !== undefined) this.#monitor(Buffer.from(command, "hex").toString("latin1"));
    else this.packet(this.#plainReply(request));
  }

  #detach(): void {
    this.#stub.breakpoints.length = 0;
    this.packet("OK");
    this.#stub.running = true;
  }

  #resume(request: string): void {
    this.#stub.running = true;
    const { onResume } = this.#stub.script;
    if (onResume !== undefined) {
      onResume(request);
      return;
    }
    const thread = /^vCont;s:(\w+)/.exec(request)?.[1];
    if (thread !== undefined) setImmediate(() => this.#stub.running && this.#stub.stop(`T05thread:${thread};`));
  }

  #monitor(command: string): void {
    const lines = MONITOR[command] ?? [`unknown command: '${command}'\r\n`];
    for (const line of lines) this.packet(`O${Buffer.from(line, "latin1").toString("hex")}`);
    this.packet("OK");
  }

  #plainReply(request: string): string {
    if (request.startsWith("qSupported")) {
      const size = this.#stub.options.packetSize.toString(16);
      return `PacketSize=${size};qXfer:features:read+;vContSupported+;multiprocess+`;
    }
    if (request === "?") return "T05thread:01;";
    if (request.startsWith("qXfer:features:read:")) return this.#describe(request);
    if (request === "qfThreadInfo" || request === "qsThreadInfo") return this.#nextThread(request === "qfThreadInfo");
    if (request === "qqemu.PhyMemMode") return this.#stub.physMode;
    const mode = /^Qqemu\.PhyMemMode:([01])$/.exec(request)?.[1];
    if (mode !== undefined) {
      this.#stub.physMode = mode;
      return "OK";
    }
    switch (request[0]) {
      case "H":
        return this.#select(request);
      case "p":
        return this.#register(Number.parseInt(request.slice(1), 16));
      case "m":
        return this.#memory(request);
      case "Z":
        this.#stub.breakpoints.push(request.slice(1));
        return "OK";
      case "z":
        return this.#remove(request.slice(1));
      default:
        return "";
    }
  }

  #describe(request: string): string {
    const [, annex = "", offset = "", length = ""] =
      /^qXfer:features:read:([^:]*):([0-9a-f]+),([0-9a-f]+)$/.exec(request) ?? [];
    const text = TARGET_XML[annex];
    if (text === undefined) return "E00";
    this.#describedItself = true;
    const start = Number.parseInt(offset, 16);
    const end = start + Math.min(Number.parseInt(length, 16), this.#stub.options.packetSize - 5);
    return (end < text.length ? "m" : "l") + text.slice(start, end);
  }

  #nextThread(first: boolean): string {
    if (first) this.#threadsListed = 0;
    if (this.#threadsListed >= this.#stub.options.cpus) return "l";
    this.#threadsListed++;
    return `m0${this.#threadsListed}`;
  }

  #select(request: string): string {
    const thread = Number.parseInt(request.slice(2), 16);
    if (!(thread >= 1 && thread <= this.#stub.options.cpus)) return "E22";
    if (request[1] === "g") this.#cpu = thread - 1;
    return "OK";
  }

  #register(number: number): string {
    if (!this.#describedItself) return "";
    if (number < GENERAL.length || SYSTEM_REGISTERS[number] !== undefined) return registerHex(this.#cpu, number, 64);
    return number === GENERAL.length ? registerHex(this.#cpu, number, 32) : "E14";
  }

  #memory(request: string): string {
    const [, at = "", size = ""] = /^m([0-9a-f]+),([0-9a-f]+)$/.exec(request) ?? [];
    const address = Number.parseInt(at, 16);
    const length = Number.parseInt(size, 16);
    if (!(length * 2 <= this.#stub.options.packetSize)) return "E22";
    const physical = this.#stub.physMode === "1";
    const known = MEMORY.some(([first, last]) => address >= first && address + length - 1 <= last);
    if (!physical || !known) this.#stub.badReads.push(request);
    if (!physical) return "E14";
    const bytes = Buffer.alloc(length);
    if (known) for (let i = 0; i < length; i++) bytes[i] = physicalByte(address + i);
    return bytes.toString("hex");
  }

  #remove(breakpoint: string): string {
    const at = this.#stub.breakpoints.indexOf(breakpoint);
    if (at < 0) return "E22";
    this.#stub.breakpoints.splice(at, 1);
    return "OK";
  }
}
