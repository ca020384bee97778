/**
 * Which memory map a caller of ExitBootServices had: each call of GetMemoryMap is watched until ExitBootServices is called, and the one that
 * gave the map key of that call is the one.
 *
 * Source: UEFI specification 2.10, 7.2.3: EFI_STATUS GetMemoryMap(UINTN *MemoryMapSize, EFI_MEMORY_DESCRIPTOR *MemoryMap, UINTN *MapKey,
 * UINTN *DescriptorSize, UINT32 *DescriptorVersion); 7.4.6: ExitBootServices takes the key that the last call gave. AAPCS64 6.8.2: the
 * arguments are in x0 to x4, the result in x0, and sp is at the return what it was at the entry.
 *
 * - A call is told from another by its vCPU, its stack pointer and where it returns to: it may be made from within another, and by several
 *   vCPUs at a time.
 * - What the pointers lead to is read at the return: one that fails leaves nothing there but the size that it would take. Firmware
 *   takes NULL for some of them (edk2: for all but the first); without a key and a descriptor size nothing can be made of a map.
 * - edk2 calls the same function itself, and so do shells and loaders: most calls are not the one that is looked for. The first one
 *   asks with a size of 0, as a rule, and fails with EFI_BUFFER_TOO_SMALL.
 * - Pointers are physical addresses (2.3.6), as everywhere before the exit.
 */
import { phys, type VirtAddr, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { PageSource } from "../base/memory.ts";
import { readStructures } from "../efi/memory.ts";
import type { MemoryMapRecord } from "../snapshot/model.ts";
import { readFromPages } from "../snapshot/page-memory.ts";
import type { Breakpoint, Target } from "../target/target.ts";
import type { StoppedCpu } from "./stopped.ts";

/** Stops at entries and at return addresses before the watch is given up: 2,000 calls. */
const MAX_STOPS = 4_000;
/** Calls that are under way at once; the oldest is forgotten for another. One that was left by a long jump never returns. */
const MAX_CALLS = 16;
const SUCCESS = 0n;
/** A map is a few KiB. */
const MAX_COMPARED = 1n << 16n;

/** A call that has not returned. */
interface MapCall {
  readonly cpu: number;
  readonly stackPointer: bigint;
  readonly returnAddress: VirtAddr;
  readonly map: bigint;
  /** Pointers to what the call returns beside the map. */
  readonly size: bigint;
  readonly key: bigint;
  readonly descriptorSize: bigint;
  readonly descriptorVersion: bigint;
}

export class MemoryMapWatch {
  readonly #target: Target;
  readonly #entry: VirtAddr | undefined;
  readonly #note: (text: string) => void;
  #calls: MapCall[] = [];
  /** By address: at the entry and at the return addresses of `#calls`. */
  readonly #breakpoints = new Map<VirtAddr, Breakpoint>();
  /** By map key: the last call that gave it, and the map as it was then, as far as it could be read. */
  readonly #maps = new Map<bigint, { readonly record: MemoryMapRecord; readonly bytes: Uint8Array | undefined }>();
  #stops = 0;
  #over: boolean;

  /** `entry` is where gBS->GetMemoryMap points; undefined when that cannot be trusted: then nothing is watched. */
  constructor(target: Target, entry: bigint | undefined, note: (text: string) => void) {
    this.#target = target;
    this.#entry = entry === undefined ? undefined : virt(entry);
    this.#over = entry === undefined;
    this.#note = note;
  }

  /** How often the guest was stopped for it. */
  get stops(): number {
    return this.#stops;
  }

  /** Watches from now on. The guest is halted. */
  async arm(): Promise<void> {
    if (this.#entry === undefined || this.#over) return;
    if (!(await this.#insert(this.#entry))) await this.#giveUp("the stub takes no breakpoint there");
  }

  /** Takes all of its breakpoints out; calls that have not returned are forgotten. The guest is halted. */
  async disarm(): Promise<void> {
    this.#calls = [];
    await Promise.all([...this.#breakpoints.keys()].map((address) => this.#remove(address)));
  }

  /** What the last call returned that gave this map key. */
  mapOf(key: bigint): MemoryMapRecord | undefined {
    return this.#maps.get(key)?.record;
  }

  /** Whether memory holds another map than what that call returned; false where either is not known. */
  isChanged(key: bigint, source: PageSource): boolean {
    const { record, bytes } = this.#maps.get(key) ?? {};
    if (record === undefined || bytes === undefined) return false;
    const now = readFromPages(source, { address: phys(record.address), length: bytes.length });
    return now.state === "present" && Buffer.compare(now.bytes, bytes) !== 0;
  }

  /** Whether the stop is one of the watch; then the guest runs on. */
  async handle(at: StoppedCpu): Promise<boolean> {
    const pc = virt(at.pc);
    if (!this.#breakpoints.has(pc)) return false;
    if (++this.#stops > MAX_STOPS) await this.#giveUp(`it was called more than ${MAX_STOPS / 2} times`);
    else if (pc === this.#entry) await this.#entered(at);
    else await this.#returned(at);
    // A breakpoint that is out already need not be stepped over.
    await (this.#breakpoints.has(pc) ? this.#target.resumePast(at.cpu, pc) : this.#target.resume());
    return true;
  }

  async #entered(at: StoppedCpu): Promise<void> {
    const call = callAt(at);
    const others = this.#calls.filter((each) => !isSame(each, call));
    this.#calls = [...others.slice(-(MAX_CALLS - 1)), call];
    await this.#forget(others.slice(0, -(MAX_CALLS - 1)));
    if (!(await this.#insert(call.returnAddress))) await this.#giveUp("the stub takes no more breakpoints");
  }

  async #returned(at: StoppedCpu): Promise<void> {
    const place = { cpu: at.cpu.index, stackPointer: at.sp, returnAddress: virt(at.pc) };
    const call = this.#calls.find((each) => isSame(each, place));
    if (call === undefined) return;
    this.#calls = this.#calls.filter((each) => each !== call);
    const succeeded = at.registers.get("x0") === SUCCESS;
    const [map] = await Promise.all([succeeded ? this.#readResult(call) : undefined, this.#forget([call])]);
    if (map !== undefined) this.#maps.set(map.mapKey, { record: map, bytes: await this.#readMap(map) });
  }

  /** Takes out the breakpoints at the return addresses of calls, where no other call returns to. */
  async #forget(calls: readonly MapCall[]): Promise<void> {
    const kept = new Set(this.#calls.map(({ returnAddress }) => returnAddress));
    const gone = calls.map(({ returnAddress }) => returnAddress).filter((address) => !kept.has(address));
    await Promise.all(gone.filter((address) => address !== this.#entry).map((address) => this.#remove(address)));
  }

  async #readResult(call: MapCall): Promise<MemoryMapRecord | undefined> {
    const { size, key, descriptorSize, descriptorVersion } = call;
    // Low memory is there on many machines: NULL leads to something, but not to a result.
    if ([call.map, size, key, descriptorSize, descriptorVersion].includes(0n)) return undefined;
    const spans = [size, key, descriptorSize].map((address) => ({ address, length: 8 }));
    const reads = await readStructures(this.#target.memory, [...spans, { address: descriptorVersion, length: 4 }]);
    const [bytes, mapKey, step, version] = reads;
    if (bytes === undefined || mapKey === undefined || step === undefined || version === undefined) return undefined;
    return {
      address: call.map,
      size: bytes.u64(0),
      descriptorSize: step.u64(0),
      descriptorVersion: version.u32(0),
      mapKey: mapKey.u64(0),
      caller: call.returnAddress,
    };
  }

  async #readMap({ address, size }: MemoryMapRecord): Promise<Uint8Array | undefined> {
    if (size <= 0n || size > MAX_COMPARED) return undefined;
    const [map] = await readStructures(this.#target.memory, [{ address, length: Number(size) }]);
    return map?.bytes;
  }

  async #giveUp(why: string): Promise<void> {
    this.#over = true;
    this.#note(`Calls of GetMemoryMap are not watched any more: ${why}.`);
    await this.disarm();
  }

  /** False when the stub refuses. */
  async #insert(address: VirtAddr): Promise<boolean> {
    if (this.#breakpoints.has(address)) return true;
    try {
      this.#breakpoints.set(address, await this.#target.insertBreakpoint(address));
      return true;
    } catch (error) {
      if (error instanceof EbscopeError && error.code === "stub-refused") return false;
      throw error;
    }
  }

  async #remove(address: VirtAddr): Promise<void> {
    const breakpoint = this.#breakpoints.get(address);
    this.#breakpoints.delete(address);
    await breakpoint?.[Symbol.asyncDispose]();
  }
}

function callAt({ cpu, registers, sp }: StoppedCpu): MapCall {
  const [size, map, key, descriptorSize, descriptorVersion] = ["x0", "x1", "x2", "x3", "x4"].map(
    (name) => registers.get(name) ?? 0n,
  ) as [bigint, bigint, bigint, bigint, bigint];
  const returnAddress = virt(registers.get("x30") ?? 0n);
  return { cpu: cpu.index, stackPointer: sp, returnAddress, map, size, key, descriptorSize, descriptorVersion };
}

/** Whether two calls are one: no second one can return to the same place with the same stack while the first is under way. */
function isSame(a: MapCall, b: Pick<MapCall, "cpu" | "stackPointer" | "returnAddress">): boolean {
  return a.cpu === b.cpu && a.stackPointer === b.stackPointer && a.returnAddress === b.returnAddress;
}
