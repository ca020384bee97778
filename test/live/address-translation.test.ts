/**
 * The CPU's own word: a guest asks AT and fetches, over tables of every form, what each address leads to; ebscope takes a point of
 * the same tables and registers through the stub and has to say the same. QEMU 10.0 is asked about stage 1 only: its AT S12E1R ends
 * in a failed assertion on a stage 2 fault.
 */
import { describe, expect, it } from "vitest";
import { readRegime } from "../../src/aarch64/regime.ts";
import { Translator } from "../../src/aarch64/translate.ts";
import { virt } from "../../src/base/address.ts";
import { captureNow } from "../../src/capture/now.ts";
import { type Capture, pointPages, pointRegisters } from "../../src/snapshot/model.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import { type Comparison, compareProbe } from "../support/at-answers.ts";
import { AtGuest, type Configuration } from "../support/at-guest.ts";
import type { QemuVersion } from "../support/at-known.ts";
import { QEMU_7, QEMU_10 } from "../support/live.ts";

interface Machine {
  readonly version: QemuVersion;
  readonly machine: string;
  readonly cpu: string;
  /** The configuration to stop after; default: the guest's last. */
  readonly last?: string;
}

interface Seen extends Comparison {
  readonly names: string[];
  addresses: number;
}

/** A point of the guest, which then runs on. */
async function takePoint(guest: AtGuest): Promise<Capture> {
  const target = await attachQemu({ kind: "unix", path: guest.gdbPath });
  try {
    const { capture, error } = await captureNow(target, "test");
    if (capture === undefined) throw error;
    return capture;
  } finally {
    await target.release(true);
  }
}

function compare(seen: Seen, capture: Capture, configuration: Configuration): void {
  const [point] = capture.points;
  if (point === undefined) throw new Error("the capture has no point");
  const regime = readRegime(configuration.regime, pointRegisters(capture, point));
  const translator = new Translator(regime, pointPages(point));
  seen.names.push(configuration.name);
  seen.addresses += configuration.probes.length;
  for (const probe of configuration.probes) {
    compareProbe(seen, configuration, probe, translator.translate(virt(probe.va)).result);
  }
}

async function lookAt({ version, last, ...machine }: Machine): Promise<Seen> {
  await using guest = new AtGuest({ ...machine, qemu: version === "7.2" ? QEMU_7 : QEMU_10 });
  const seen: Seen = { version, names: [], addresses: 0, compared: 0, found: [], known: new Map() };
  for await (const configuration of guest.configurations()) {
    compare(seen, await takePoint(guest), configuration);
    if (configuration.name === last) break;
  }
  return seen;
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

const EL3 = words("el3-4k el3-wxn el3-16k el3-64k el3-dirty-state el3-lpa2");
const EL2 = words(
  "el2-4k el2-wxn el2-16k el2-64k el2-dirty-state el2-lpa2 host-4k-16k host-16k-64k host-64k-4k host-wxn",
);
const EL1 = words(`
  4k-16k 16k-64k 64k-4k wxn no-hierarchy half-hierarchy hardware-access-flag hardware-dirty-state e0pd
  top-byte-ignored-below top-byte-ignored-above upper-half-disabled lower-half-disabled
  output-32-bits big-endian output-36-bits output-42-bits lpa-64k lpa-64k-48-bits lpa2-4k-16k lpa2-16k-4k`);
const SIZES = words(`
  size-4k.16-4k.24 size-4k.17-16k.17 size-4k.20-64k.21 size-4k.25-16k.16 size-4k.28-64k.34 size-4k.33-16k.27 size-4k.34-4k.39
  size-16k.20-64k.22 size-16k.28-4k.18 size-16k.29-4k.35 size-16k.38-64k.35 size-16k.39-4k.26
  size-64k.16-16k.31 size-64k.25-4k.38 size-64k.39-16k.36
  size-4k.40-16k.40 size-4k.42-16k.48 size-4k.43-64k.40 size-4k.48-64k.47 size-16k.47-4k.46 size-64k.42-4k.47`);
const STAGE2 = words(`
  s12-4k s12-16k s12-64k s12-4k-of-64k s12-64k-of-4k s12-fwb s12-cache-disabled s12-protected-walk s12-of-host s12-lpa2-4k s12-lpa2-16k s12-lpa
  s2-4k s2-16k s2-64k s2-dirty-state s2-output-40-bits s2-default-cacheable s2-fwb`);
const WITHIN = words("el1-4k-64k el1-16k-4k el1-64k-4k");

describe("what AT and fetches say of an address is what ebscope says", () => {
  it("at EL3, EL2 and EL1 of -cpu max, stage 2 included", async () => {
    const seen = await lookAt({ version: "7.2", machine: "virt,secure=on,virtualization=on", cpu: "max" });
    expect(seen.found).toEqual([]);
    expect(seen.names).toEqual([...EL3, ...EL2, ...EL1, ...SIZES, ...STAGE2, ...WITHIN]);
    expect([seen.addresses, seen.compared]).toEqual([15_654, 86_306]);
    // So many answers each exception has to take, and not one more.
    expect(Object.fromEntries(seen.known)).toEqual({
      "shareability of Device and Non-cacheable memory": 3549,
      "a block at a level that has none": 354,
      "output address bits 51:48 when IPS says less": 660,
      "stage 1 Non-cacheable over stage 2 Device": 200,
      "the level of a stage 2 fault on a stage 1 walk": 92,
      "Device over Device with FWB": 52,
      "shareability of what FWB makes Write-Back": 86,
    });
  });

  it("at EL2 and EL1 of cortex-a57: no 16 KiB, 44 bits, none of the later features", async () => {
    const seen = await lookAt({ version: "7.2", machine: "virt,virtualization=on", cpu: "cortex-a57" });
    expect(seen.found).toEqual([]);
    expect(seen.names).toContain("beyond-physical-size");
    expect([seen.names.length, seen.addresses, seen.compared]).toEqual([32, 5484, 25_670]);
    expect(Object.fromEntries(seen.known)).toEqual({
      "shareability of Device and Non-cacheable memory": 60,
      "a block at a level that has none": 128,
      "stage 1 Non-cacheable over stage 2 Device": 4,
      "the level of a stage 2 fault on a stage 1 walk": 32,
    });
  });

  it("at EL1 of a machine without EL2", async () => {
    const seen = await lookAt({ version: "7.2", machine: "virt", cpu: "max" });
    expect(seen.found).toEqual([]);
    expect(seen.names).toEqual(WITHIN);
    expect([seen.addresses, seen.compared]).toEqual([1291, 9534]);
    expect(Object.fromEntries(seen.known)).toEqual({
      "shareability of Device and Non-cacheable memory": 384,
      "a block at a level that has none": 72,
    });
  });

  it("at EL3, EL2 and EL1 of QEMU 10.0, in stage 1, with one exception", async () => {
    const last = SIZES.at(-1) ?? "";
    const seen = await lookAt({ version: "10.0", machine: "virt,secure=on,virtualization=on", cpu: "max", last });
    expect(seen.found).toEqual([]);
    expect(seen.names).toEqual([...EL3, ...EL2, ...EL1, ...SIZES]);
    expect(Object.fromEntries(seen.known)).toEqual({ "output address bits 51:48 when IPS says less": 660 });
  });
});
