/**
 * What a function was called with, as its first instruction finds it: for services of UEFI by their prototypes.
 *
 * Source: AAPCS64 6.8.2: x0 to x7. What pointers lead to is guest memory: it is read where it is short and of a known kind, and bounded.
 */
import type { MemoryRead } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import { Structure } from "../efi/bytes.ts";
import { guidName } from "../efi/guid-names.ts";
import { type Parameter, servicePrototype } from "../efi/prototypes.ts";

export interface Argument {
  /** The prototype's, or `x0` … `x7` where there is none. */
  readonly name: string;
  /** The prototype's, or undefined. */
  readonly type: string | undefined;
  /** Undefined when the register could not be read. */
  readonly value: bigint | undefined;
  /** What an EFI_GUID* or a CHAR16* leads to: the GUID's name or its digits, the string. Printable. Undefined where there is nothing to tell. */
  readonly text: string | undefined;
}

export interface CallArguments {
  /** `gBS->Stall`; undefined for a function without a known prototype: then the arguments are x0 to x7, used or not. */
  readonly service: string | undefined;
  readonly arguments: readonly Argument[];
}

type ReadMemory = (address: bigint, length: number) => Promise<MemoryRead>;

/** Characters of a string that are read. */
const MAX_CHARACTERS = 128;
const PAGE = 4096n;

/** `registers` are those at the function's entry. */
export async function callArguments(
  service: string | undefined,
  registers: Registers,
  read: ReadMemory,
): Promise<CallArguments> {
  const prototype = service === undefined ? undefined : servicePrototype(service);
  if (service === undefined || prototype === undefined) {
    const names = Array.from({ length: 8 }, (_, i) => `x${i}`);
    const all = names.map((name) => ({ name, type: undefined, value: registers.get(name), text: undefined }));
    return { service, arguments: all };
  }
  const found = prototype.parameters.map(async (parameter, i): Promise<Argument> => {
    const whole = registers.get(`x${i}`);
    const value = whole === undefined ? undefined : BigInt.asUintN(parameter.bits, whole);
    return { name: parameter.name, type: parameter.type, value, text: await textAt(parameter, value, read) };
  });
  return { service, arguments: await Promise.all(found) };
}

async function textAt({ type }: Parameter, value: bigint | undefined, read: ReadMemory): Promise<string | undefined> {
  if (value === undefined || value === 0n) return undefined;
  if (type === "EFI_GUID*") return guidAt(value, read);
  return type === "CHAR16*" ? stringAt(value, read) : undefined;
}

async function guidAt(address: bigint, read: ReadMemory): Promise<string | undefined> {
  const memory = await read(address, 16);
  if (memory.state !== "present") return undefined;
  const guid = new Structure(memory.bytes).guid(0);
  return guidName(guid) ?? guid;
}

/** UCS-2 up to a NUL; what lies on the next page is left out when that cannot be read. */
async function stringAt(address: bigint, read: ReadMemory): Promise<string | undefined> {
  const length = 2 * MAX_CHARACTERS;
  const onPage = Number(PAGE - (address & (PAGE - 1n)));
  const whole = await read(address, length);
  const memory = whole.state !== "present" && onPage < length && onPage > 1 ? await read(address, onPage & ~1) : whole;
  if (memory.state !== "present") return undefined;
  const text = Buffer.from(memory.bytes).toString("utf16le");
  const end = text.indexOf("\0");
  return printable(end < 0 ? `${text}…` : text.slice(0, end), MAX_CHARACTERS + 1);
}
