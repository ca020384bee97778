/**
 * Registers of vCPUs as one batch: those that `g` holds come by `g`, the others by a `p` each.
 *
 * Source: "Debugging with GDB", appendix E, `g` and `p`. The reply to `g` is a stub's general registers one after the other, each as wide as
 * the target description says; which ones they are is nowhere told. The description's order is their order, and QEMU ends with cpsr,
 * gdbserver with what it has. So a first reply is measured: if it ends where a register ends, it holds those up to there. A later one
 * of another length, or an error, is not believed, and its registers are asked for one by one.
 */
import { EbscopeError } from "../base/error.ts";
import { bytesOfDigits } from "../base/hex.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import { latin1 } from "../base/text.ts";
import type { Label } from "../rsp/command.ts";
import type { BatchRequest } from "../rsp/connection.ts";
import { encodePacket } from "../rsp/packet.ts";
import { errorReply } from "../rsp/reply.ts";
import type { SelectedCpu } from "./selected-cpu.ts";
import type { Cpu } from "./target.ts";

/** Where a register stands in the reply to `g`, in bytes. */
interface Slot {
  readonly at: number;
  readonly length: number;
}

/** A request, and which of the registers its reply tells; undefined for all that `g` holds. */
interface Ask extends BatchRequest {
  readonly index: number | undefined;
}

const UNREADABLE: RegisterRead = { state: "unreadable" };
const UNAVAILABLE: RegisterRead = { state: "unavailable" };
const LOWER_X = 0x78;
/** Requests that are made ready at once. */
const MOST_REQUESTS = 1 << 14;
/** From so many registers on one `g` is less work than as many `p`. */
const WORTH_G = 3;

export class RegisterBatch {
  readonly #selected: SelectedCpu;
  /** What `g` holds, by register number; empty while that is not known. */
  #slots: ReadonlyMap<number, Slot> = new Map();
  #generalLength = 0;
  /** What was asked for, by its list: the same lists are asked for again and again. */
  #plans = new WeakMap<readonly RegisterDefinition[], readonly Ask[]>();

  constructor(selected: SelectedCpu) {
    this.#selected = selected;
  }

  /** Asks for the general registers once, to see which they are. */
  async learn(cpu: Cpu, definitions: readonly RegisterDefinition[]): Promise<void> {
    let reply = "";
    await this.#selected.batch(cpu, [GENERAL], (bytes) => {
      reply = latin1(bytes);
    });
    if (!/^([0-9a-f]{2}|xx)+$/i.test(reply)) return;
    const slots = slotsOf(definitions, reply.length / 2);
    if (slots === undefined) return;
    this.#slots = slots;
    this.#plans = new WeakMap();
    this.#generalLength = reply.length / 2;
  }

  /** A row a vCPU, in the order of `registers`. */
  async read(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    const atOnce = Math.max(1, Math.floor(MOST_REQUESTS / (registers.length + 1)));
    const first = await Promise.all(cpus.slice(0, atOnce).map((cpu) => this.#read(cpu, registers)));
    if (cpus.length <= atOnce) return first;
    return [...first, ...(await this.read(cpus.slice(atOnce), registers))];
  }

  async #read(cpu: Cpu, registers: readonly RegisterDefinition[]): Promise<RegisterRead[]> {
    const asks = this.#planFor(registers);
    const row = registers.map(() => UNREADABLE);
    let refused = false;
    await this.#selected.batch(cpu, asks, (reply, i, selected) => {
      const { index } = asks[i] as Ask;
      if (!selected) return;
      if (index === undefined) refused = !this.#placeGeneral(reply, registers, row);
      else row[index] = registerRead(reply, registers[index] as RegisterDefinition);
    });
    if (!refused) return row;
    this.#slots = new Map();
    this.#plans = new WeakMap();
    return this.#read(cpu, registers);
  }

  #planFor(registers: readonly RegisterDefinition[]): readonly Ask[] {
    const known = this.#plans.get(registers);
    if (known !== undefined) return known;
    const general = registers.filter(({ number }) => this.#slots.has(number));
    const useG = general.length >= WORTH_G;
    const asks: Ask[] = useG ? [GENERAL] : [];
    registers.forEach((definition, i) => {
      if (!useG || !this.#slots.has(definition.number)) asks.push(askFor(definition, i));
    });
    this.#plans.set(registers, asks);
    return asks;
  }

  /** False when the reply is not what it was. */
  #placeGeneral(reply: Uint8Array, registers: readonly RegisterDefinition[], row: RegisterRead[]): boolean {
    if (reply.length !== 2 * this.#generalLength) return false;
    const bytes = bytesOfDigits(reply);
    for (let i = 0; i < registers.length; i++) {
      const definition = registers[i] as RegisterDefinition;
      const slot = this.#slots.get(definition.number);
      if (slot === undefined) continue;
      const { at, length } = slot;
      row[i] =
        bytes === undefined
          ? registerRead(reply.subarray(2 * at, 2 * (at + length)), definition)
          : { state: "present", bytes: new Uint8Array(bytes.buffer, at, length) };
    }
    return true;
  }
}

const GENERAL: Ask = { ...prepared("g", "reading the general registers"), index: undefined };

function prepared(payload: string, label: Label): BatchRequest {
  return { payload, packet: encodePacket(payload), label };
}

function askFor({ number, name }: RegisterDefinition, index: number): Ask {
  return { ...prepared(`p${number.toString(16)}`, () => `reading ${name}`), index };
}

/** Where each of the first registers stands in so many bytes; undefined when the bytes do not end where a register does. */
function slotsOf(definitions: readonly RegisterDefinition[], bytes: number): Map<number, Slot> | undefined {
  const slots = new Map<number, Slot>();
  let at = 0;
  for (const { number, bits } of definitions) {
    if (at === bytes) break;
    // Registers without a place in the description have one in `g` all the same: it cannot be told.
    if (number !== slots.size) return undefined;
    const length = Math.ceil(bits / 8);
    slots.set(number, { at, length });
    at += length;
  }
  return at === bytes ? slots : undefined;
}

/** QEMU answers for SVE's predicates with whole words of 64 bits, whatever size it tells (seen on 7.2 and 10.0 with neoverse-v1's 256 bits). */
const IN_WORDS = "org.gnu.gdb.aarch64.sve";

/** Throws when the answer has another length than the register: one of the two is not what it is said to be. */
function registerRead(reply: Uint8Array, { name, bits, feature }: RegisterDefinition): RegisterRead {
  if (reply[0] === LOWER_X) return UNAVAILABLE;
  const due = 2 * Math.ceil(bits / 8);
  if (reply.length === due) {
    const bytes = bytesOfDigits(reply);
    return bytes === undefined ? UNREADABLE : { state: "present", bytes };
  }
  if (reply.length === 0 || errorReply(latin1(reply)) !== undefined) return UNREADABLE;
  if (feature === IN_WORDS && reply.length % 16 === 0) return UNREADABLE;
  const sizes = `the stub answers with ${reply.length} digits where ${due} are due`;
  throw new EbscopeError("protocol-error", `Cannot read the register ${name}: ${sizes}`);
}
