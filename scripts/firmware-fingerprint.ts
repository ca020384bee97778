/**
 * Prints the fingerprint of a firmware, to be pasted into symbols/firmware.ts; see symbols/README.md.
 *
 *     npx tsx scripts/firmware-fingerprint.ts NAME --gdb ADDRESS     of a machine, which is let run until it calls ExitBootServices
 *     npx tsx scripts/firmware-fingerprint.ts NAME FILE.ebs          of a capture
 */

import { virt } from "../src/base/address.ts";
import type { PhysMemory } from "../src/base/memory.ts";
import { locateExitBootServices } from "../src/capture/locate.ts";
import { fingerprintOf } from "../src/efi/firmware.ts";
import type { FirmwareOffsets } from "../src/efi/firmware-data.ts";
import { findFirmwareMap } from "../src/efi/firmware-map.ts";
import { readLoadedImages } from "../src/efi/images.ts";
import { readSystemTable } from "../src/efi/system-table.ts";
import { parseStubAddress } from "../src/rsp/transport.ts";
import { pointPages } from "../src/snapshot/model.ts";
import { pageMemory } from "../src/snapshot/page-memory.ts";
import { readCapture } from "../src/snapshot/store.ts";
import { attachQemu } from "../src/target/qemu.ts";

const HALF_A_MINUTE = 30_000;
const TEN_MINUTES = 600_000;

async function printFingerprint(name: string, memory: PhysMemory, systemTable: bigint): Promise<void> {
  const table = await readSystemTable(memory, systemTable);
  const images = table === undefined ? [] : await readLoadedImages(memory, table);
  const { map, offsets } = await findFirmwareMap(memory, images);
  const fingerprint = fingerprintOf(name, images, whole(offsets));
  if (fingerprint === undefined) throw new Error("The firmware lists no DXE core of edk2.");
  if (map.state !== "read") console.error(`No offsets: ${map.why}.`);
  console.log(asSource(fingerprint));
}

function whole(offsets: Partial<FirmwareOffsets>): FirmwareOffsets | undefined {
  const { gMemoryMap, mGcdMemorySpaceMap, mMemoryTypeStatistics } = offsets;
  const missing = gMemoryMap === undefined || mGcdMemorySpaceMap === undefined || mMemoryTypeStatistics === undefined;
  return missing ? undefined : { gMemoryMap, mGcdMemorySpaceMap, mMemoryTypeStatistics };
}

/** As the formatter writes it, offsets in hexadecimal. */
function asSource(fingerprint: NonNullable<ReturnType<typeof fingerprintOf>>): string {
  const { name, buildPath, coreSections, images, offsets } = fingerprint;
  const hex = Object.entries(offsets ?? {}).map(([key, value]) => `${key}: 0x${value.toString(16)}`);
  return [
    "  {",
    `    name: ${JSON.stringify(name)},`,
    `    buildPath: ${JSON.stringify(buildPath)},`,
    `    coreSections: ${JSON.stringify(coreSections)},`,
    "    images: [",
    ...images.map((line) => `      ${JSON.stringify(line)},`),
    "    ],",
    `    offsets: ${offsets === undefined ? "undefined" : `{ ${hex.join(", ")} }`},`,
    "  },",
  ].join("\n");
}

/** At ExitBootServices all drivers are loaded. The guest is left as it was found, running or not. */
async function ofMachine(name: string, address: string): Promise<void> {
  const target = await attachQemu(parseStubAddress(address));
  try {
    const { roots } = await locateExitBootServices(target, { findTimeoutMs: HALF_A_MINUTE });
    await using _ = await target.insertBreakpoint(virt(roots.exitBootServices));
    await target.resume();
    await target.waitForStop(AbortSignal.timeout(TEN_MINUTES));
    await printFingerprint(name, target.memory, roots.systemTable);
  } finally {
    await target.release(target.info.wasRunning);
  }
}

async function ofCapture(name: string, file: string): Promise<void> {
  const { points, efi } = await readCapture(file);
  const [point] = points;
  if (point === undefined || efi === undefined) throw new Error("The capture does not know where UEFI's tables are.");
  await printFingerprint(name, pageMemory(pointPages(point)), efi.systemTable);
}

const [name, kind, address] = process.argv.slice(2);
if (name === undefined || kind === undefined || (kind === "--gdb" && address === undefined)) {
  console.error("Usage: npx tsx scripts/firmware-fingerprint.ts NAME (--gdb ADDRESS | FILE.ebs)");
  process.exitCode = 2;
} else if (kind === "--gdb" && address !== undefined) await ofMachine(name, address);
else await ofCapture(name, kind);
