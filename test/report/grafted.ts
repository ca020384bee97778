/** The capture of a real guest whose names were replaced by others: in guest memory, byte by byte, and in what the stub had said. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { phys, virt } from "../../src/base/address.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import type { BlameEvent, BlameRecord } from "../../src/snapshot/blame.ts";
import type { Capture, Point } from "../../src/snapshot/model.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { devicePath, ucs2 } from "../support/firmware.ts";

export const FIXTURE = join(fileURLToPath(new URL("../..", import.meta.url)), "test/fixtures/boot-service.ebs");
const CAPTURE = await readCapture(FIXTURE);

/** Pages of a point that can be written to. Addresses are physical. */
class Memory {
  readonly pages: Map<bigint, MemoryRead>;
  readonly #own = new Set<bigint>();

  constructor(point: Point) {
    this.pages = new Map(point.pages);
  }

  byte(address: bigint): number | undefined {
    const read = this.pages.get(address & ~0xfffn);
    return read?.state === "present" ? read.bytes[Number(address & 0xfffn)] : undefined;
  }

  number(address: bigint, bytes: number): bigint | undefined {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) {
      const byte = this.byte(address + BigInt(i));
      if (byte === undefined) return undefined;
      value = (value << 8n) | BigInt(byte);
    }
    return value;
  }

  /** Writes where memory was captured, up to the end of it. */
  write(address: bigint, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      const at = address + BigInt(i);
      const page = at & ~0xfffn;
      const read = this.pages.get(page);
      if (read?.state !== "present") return;
      if (!this.#own.has(page)) this.pages.set(page, { state: "present", bytes: Uint8Array.from(read.bytes) });
      this.#own.add(page);
      const own = this.pages.get(page);
      if (own?.state === "present") own.bytes[Number(at & 0xfffn)] = byte;
    }
  }

  add(page: bigint, bytes: Uint8Array): void {
    const whole = new Uint8Array(4096);
    whole.set(bytes.subarray(0, 4096));
    this.pages.set(page, { state: "present", bytes: whole });
    this.#own.add(page);
  }
}

/** EFI_DEBUG_IMAGE_INFO_TABLE_GUID, 49152e77-1ada-4764-b7a2-7afefed95e8b, as it lies in memory. */
const GUID = "772e1549da1a6447b7a27afefed95e8b";
/** Pages that the guest has not: for device paths. */
const FREE = 0x5000_0000n;
const MAX_PATH = 398;

export interface Grafted {
  readonly capture: Capture;
  /** How many images were given a build path, and how many the name of a file instead. */
  readonly paths: number;
  readonly files: number;
}

/** `name(i)`: the i-th name, as often as one is needed. Every third image has its name from the file in its device path. */
export function grafted(name: (index: number) => string): Grafted {
  const [first] = CAPTURE.points;
  if (first === undefined || CAPTURE.efi === undefined) throw new Error("the fixture has no point");
  const memory = new Memory(first);
  const protocols = imageProtocols(memory, CAPTURE.efi.systemTable);
  let [paths, files, next] = [0, 0, 0];
  for (const [i, protocol] of protocols.entries()) {
    const base = memory.number(protocol + 0x40n, 8) ?? 0n;
    next = graftSections(memory, base, name, next);
    const page = FREE + BigInt(i) * 4096n;
    memory.add(page, devicePath([4, 4, ucs2(`\\EFI\\${name(next++).slice(0, 200)}`)]));
    memory.write(protocol + 0x20n, wordBytes(page));
    const record = codeViewRecord(memory, base);
    if (record === undefined) continue;
    if (i % 3 === 0) {
      // No record that is known: the name comes from the file.
      memory.write(record, Buffer.from("none"));
      files++;
    } else {
      memory.write(pathAt(memory, record), pathBytes(name(next++)));
      paths++;
    }
  }
  const points = CAPTURE.points.map((point, i) => ({
    ...point,
    registers: point.registers.map((row) => rowWith(row, i)),
    time: name(next++),
    memoryRanges: point.memoryRanges.map((range) => ({ ...range, name: name(next++) })),
  }));
  const [before, ...others] = points;
  if (before === undefined) throw new Error("no point");
  const patched = { ...before, pages: new Map([...memory.pages].map(([pa, read]) => [phys(pa), read])) };
  const capture: Capture = {
    ...CAPTURE,
    createdAt: name(next++),
    createdBy: name(next++),
    qemuVersion: name(next++),
    architecture: name(next++),
    threads: CAPTURE.threads.map(() => name(next++)),
    registers: registersWith(() => name(next++)),
    points: [patched, ...others],
    notes: Array.from({ length: 20 }, () => name(next++)),
    blame: recordOf(memory.number.bind(memory), protocols, () => name(next++)),
    partial: { code: "connection-lost", message: name(next++) },
    symbols: {
      paths: [name(next++)],
      files: [{ path: `/none/${name(next++)}`, size: 1, buildId: undefined, image: name(next++) }],
    },
  };
  return { capture, paths, files };
}

/** SCTLR_EL1, as an MSR has it: op0 3, op1 0, CRn 1, CRm 0, op2 0. */
const SCTLR_EL1 = 0xc080n;
const STACK = 0x4770_0000n;
const NOTES = 20;

/**
 * Somebody writes: to each doubleword of a page that the guest changed from one point to the next, to a register, to watched memory, from each
 * image in turn; the chain leads through all of them.
 */
function recordOf(
  number: (address: bigint, bytes: number) => bigint | undefined,
  protocols: readonly bigint[],
  name: () => string,
): BlameRecord {
  const code = protocols.map((protocol) => virt((number(protocol + 0x40n, 8) ?? 0n) + 0x1000n));
  const records = code.slice(0, 12).map((pc, i) => ({ at: STACK + BigInt(i * 32), pc }));
  const words = records.flatMap(({ at, pc }) => [at, at + 32n, at + 8n, pc]);
  const events: BlameEvent[] = [];
  const add = (kind: BlameEvent["kind"], rest: Partial<BlameEvent>): void => {
    const i = events.length;
    const nothing = {
      pc: code[i % code.length],
      word: 0xf900_0041,
      address: 0n,
      old: undefined,
      new: undefined,
      stack: 0,
    };
    events.push({ kind, stop: i, cpu: 0, ...nothing, ...rest });
  };
  const nobody = { pc: undefined, word: undefined, stack: undefined };
  add("point", { ...nobody, address: 0n });
  for (const change of changedWords()) add("table", change);
  for (let i = 0n; i < 3n; i++) add("memory", { address: 0x4780_0000n + i * 8n, old: i, new: i + 1n });
  add("register", { address: SCTLR_EL1, old: 0x30d0_198dn, new: 0x30d0_198cn });
  add("unseen-register", { ...nobody, address: SCTLR_EL1, old: 0x30d0_198cn, new: 0x30d0_198dn });
  for (let i = 0n; i < 4n; i++) add("lapse", { ...nobody, address: i });
  add("point", { ...nobody, address: 1n });
  return {
    ...{ tables: true, maintenance: true, sites: [{ address: virt(0n), word: 0xd518_1000 }], events, uncounted: 3 },
    ranges: Array.from({ length: 3 }, (_, i) => ({
      name: name(),
      address: virt(0x4780_0000n + BigInt(i * 8)),
      length: 8,
    })),
    stacks: [{ sp: STACK, fp: STACK, lr: code[1] ?? 0n, cpsr: 0x3c5n, words }],
    ...{ contents: [], code: new Map(), notes: Array.from({ length: NOTES }, name) },
  };
}

/** Doublewords of pages that were captured at the first two points and are others at the second. */
function changedWords(): { readonly address: bigint; readonly old: bigint; readonly new: bigint }[] {
  const [before, after] = CAPTURE.points;
  return [...(before?.pages ?? [])].flatMap(([page, old]) => {
    const now = after?.pages.get(page);
    if (old.state !== "present" || now?.state !== "present") return [];
    const [a, b] = [old.bytes, now.bytes].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
    return Array.from({ length: 512 }, (_, i) => ({
      address: page + BigInt(i * 8),
      old: a?.getBigUint64(i * 8, true) ?? 0n,
      new: b?.getBigUint64(i * 8, true) ?? 0n,
    })).filter((each) => each.old !== each.new);
  });
}

/** What the names of registers begin with, so that they are of each class. */
const PREFIXES = ["TTBR0_", "ESR_", "CNT", "DBG", ""];
const ADDED = 20;

/** The real registers under other names of the stub's, and some more. */
function registersWith(name: () => string): Capture["registers"] {
  const [model] = CAPTURE.registers;
  if (model === undefined) throw new Error("no register");
  const added = Array.from({ length: ADDED }, (_, i) => ({
    ...model,
    name: `${PREFIXES[i % PREFIXES.length]}${name()}`,
    number: 1000 + i,
  }));
  return [...CAPTURE.registers, ...added].map((register) => ({ ...register, stubName: name() }));
}

/** The values of the added registers: another one at each point. */
function rowWith(row: Point["registers"][number], point: number): Point["registers"][number] {
  const bytes = wordBytes(BigInt(point + 1));
  return [...row, ...Array.from({ length: ADDED }, () => ({ state: "present" as const, bytes }))];
}

/** The bytes of a path as a build might have left them: UTF-8, cut to what is read, a NUL behind it. NULs inside end it too. */
function pathBytes(name: string): Uint8Array {
  return Buffer.concat([Buffer.from(`/build/${name}`).subarray(0, MAX_PATH), Buffer.of(0)]);
}

function wordBytes(word: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(word);
  return bytes;
}

/** UEFI 2.10, 18.4.3 and 4.3: from the system table to every EFI_LOADED_IMAGE_PROTOCOL of the debug image info table. */
function imageProtocols(memory: Memory, systemTable: bigint): bigint[] {
  const count = Number(memory.number(systemTable + 0x68n, 8) ?? 0n);
  const tables = memory.number(systemTable + 0x70n, 8) ?? 0n;
  for (let i = 0; i < count; i++) {
    const entry = tables + BigInt(i * 24);
    const guid = Array.from({ length: 16 }, (_, b) =>
      (memory.byte(entry + BigInt(b)) ?? 0).toString(16).padStart(2, "0"),
    );
    if (guid.join("") !== GUID) continue;
    const header = memory.number(entry + 16n, 8) ?? 0n;
    const images = Number(memory.number(header + 4n, 4) ?? 0n);
    const list = memory.number(header + 8n, 8) ?? 0n;
    const infos = Array.from({ length: images }, (_, slot) => memory.number(list + BigInt(slot * 8), 8) ?? 0n);
    return infos.filter((info) => info !== 0n).map((info) => memory.number(info + 8n, 8) ?? 0n);
  }
  throw new Error("no list of images");
}

/** PE Format: the first section header stands behind the optional header; its size is at 20 of the PE header, the count at 6. */
function graftSections(memory: Memory, base: bigint, name: (index: number) => string, from: number): number {
  const pe = peHeader(memory, base);
  if (pe === undefined) return from;
  const count = Number(memory.number(pe + 6n, 2) ?? 0n);
  const headers = pe + 24n + (memory.number(pe + 20n, 2) ?? 0n);
  for (let i = 0; i < count; i++) {
    const short = Buffer.alloc(8);
    Buffer.from(name(from + i)).copy(short, 0, 0, 8);
    memory.write(headers + BigInt(i * 40), short);
  }
  return from + count;
}

function peHeader(memory: Memory, base: bigint): bigint | undefined {
  const offset = memory.number(base + 0x3cn, 4);
  return offset === undefined || memory.number(base + offset, 4) !== 0x4550n ? undefined : base + offset;
}

/** The debug directory is number 6 of the data directories, which begin at 112 of a PE32+ optional header; type 2 is CodeView. */
function codeViewRecord(memory: Memory, base: bigint): bigint | undefined {
  const pe = peHeader(memory, base);
  const [rva, size] = pe === undefined ? [] : [memory.number(pe + 184n, 4), memory.number(pe + 188n, 4)];
  if (rva === undefined || size === undefined) return undefined;
  for (let at = 0n; at + 28n <= size; at += 28n) {
    if (memory.number(base + rva + at + 12n, 4) !== 2n) continue;
    const record = memory.number(base + rva + at + 20n, 4);
    return record === undefined || memory.byte(base + record) === undefined ? undefined : base + record;
  }
  return undefined;
}

/** RSDS has its path at 24, NB10 at 16. */
function pathAt(memory: Memory, record: bigint): bigint {
  return record + (memory.byte(record) === 0x52 ? 24n : 16n);
}
