/** The calls that lead out of boot services, for a FakeTarget: GetMemoryMap and ExitBootServices over the firmware of firmware.ts. */
import {
  type CaptureOptions,
  type CaptureOutcome,
  captureExitBootServices,
} from "../../src/capture/exit-boot-services.ts";
import type { FakeMemory } from "./fake-memory.ts";
import { FakeTarget, type Visit } from "./fake-target.ts";
import { BOOT_SERVICES, buildFirmware, type FakeImage, type Firmware, SERVICES, SERVICES_CODE } from "./firmware.ts";

/** Has the code of all boot services. */
export const DXE_CORE: FakeImage = {
  base: 0x474f_0000n,
  size: 0x2_0000,
  codeType: 3,
  peOffset: 0x80,
  sections: [[".text", 0x1000, 0x1_8000]],
  codeView: { signature: "RSDS", path: "/build/DxeCore.dll" },
};

const service = (name: string): bigint => SERVICES_CODE + BigInt(SERVICES.indexOf(name) * 64);
export const GET_MEMORY_MAP = service("GetMemoryMap");
export const EXIT_BOOT_SERVICES = service("ExitBootServices");
export const EXIT_CALLER = 0x4420_0204n;
export const STACK = 0x4600_0800n;
const TOO_SMALL = (1n << 63n) | 5n;
const INVALID = (1n << 63n) | 2n;

export interface MapCall {
  readonly key?: bigint;
  /** The map's bytes; none when the call fails for want of room. */
  readonly map?: Uint8Array;
  /** Where the caller wants the map. */
  readonly buffer?: bigint;
  readonly caller?: bigint;
  readonly sp?: bigint;
  readonly cpu?: number;
  readonly descriptorSize?: bigint;
  /** The caller gives NULL for what it does not want to know. */
  readonly without?: "x0" | "x1" | "x2" | "x3" | "x4";
  /** The map itself does not arrive. */
  readonly unwritten?: boolean;
  /** What MemoryMapSize holds at the return, if not the size of `map`. */
  readonly size?: bigint;
}

export const CALLER = 0x4420_0104n;
export const BUFFER = 0x4430_0018n;

/** Entry and return of a call of GetMemoryMap, with what it leaves in memory. */
export function getMemoryMap(call: MapCall = {}): [Visit, Visit] {
  const { key = 7n, map, buffer = BUFFER, caller = CALLER, sp = STACK, cpu = 0, descriptorSize = 48n } = call;
  const places = { x0: sp - 0x40n, x1: buffer, x2: sp - 0x38n, x3: sp - 0x30n, x4: sp - 0x28n };
  const given = call.without === undefined ? places : { ...places, [call.without]: 0n };
  const size = call.size ?? BigInt(map?.length ?? 0x600);
  const entry: Visit = { pc: GET_MEMORY_MAP, cpu, registers: { ...given, x30: caller, sp } };
  const back: Visit = {
    ...{ pc: caller, cpu },
    registers: { x0: map === undefined ? TOO_SMALL : 0n, sp },
    does: (memory) => {
      memory.setWord(places.x0, size);
      if (map === undefined) return;
      if (!call.unwritten) memory.write(buffer, map);
      memory.setWord(places.x2, key);
      memory.setWord(places.x3, descriptorSize);
      // 32 bits wide: what lies beside it is no part of it.
      memory.setWord(places.x4, 0xdead_beef_0000_0001n);
    },
  };
  return [entry, back];
}

/** Entry and return of ExitBootServices, with what comes in between. */
export function exitBootServices(key: bigint, options: { fails?: boolean; inside?: readonly Visit[] } = {}): Visit[] {
  const { fails = false, inside = [] } = options;
  return [
    { pc: EXIT_BOOT_SERVICES, registers: { x0: 0x99n, x1: key, x30: EXIT_CALLER, sp: STACK } },
    ...inside,
    {
      pc: EXIT_CALLER,
      registers: { x0: fails ? INVALID : 0n, sp: STACK },
      does: (memory) => {
        if (!fails) memory.write(BOOT_SERVICES, new Uint8Array(24 + SERVICES.length * 8));
      },
    },
  ];
}

export interface Handoff extends CaptureOutcome {
  readonly target: FakeTarget;
}

export interface HandoffOptions {
  readonly cpus?: number;
  readonly images?: readonly FakeImage[];
  /** Changes the firmware before the debugger comes. */
  readonly prepare?: (firmware: Firmware, target: FakeTarget) => void;
  /** The machine itself; a plain one without. */
  readonly machine?: (memory: FakeMemory, visits: readonly Visit[], cpus: number) => FakeTarget;
  readonly capture?: CaptureOptions;
}

/** Captures a guest that does this. Nothing comes after: each wait ends at its deadline, soon. */
export async function captureHandoff(visits: readonly Visit[], options: HandoffOptions = {}): Promise<Handoff> {
  const firmware = buildFirmware([DXE_CORE, ...(options.images ?? [])]);
  const { memory } = firmware;
  for (const page of [BUFFER, CALLER, STACK, STACK - 0x1000n, 0x4740_0000n]) memory.bytes(page & ~0xfffn);
  const { cpus = 1, machine = (...parts) => new FakeTarget(...parts) } = options;
  const target = machine(memory, visits, cpus);
  options.prepare?.(firmware, target);
  // BL, in front of where ExitBootServices returns to.
  memory.write(EXIT_CALLER - 4n, Uint8Array.of(0, 0, 0, 0x94));
  const outcome = await captureExitBootServices(target, "test", { timeoutMs: 500, watchMs: 10, ...options.capture });
  return { ...outcome, target };
}
