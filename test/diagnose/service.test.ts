/** Which service a bad branch meant, told from the tables as they were before the exit. */
import { describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import type { BranchTrace } from "../../src/code/index.ts";
import { calledService } from "../../src/diagnose/service.ts";
import { readEfiTables } from "../../src/efi/tables.ts";
import { FakeMemory } from "../support/fake-memory.ts";

const ROOTS = { systemTable: 0x4000_0000n, bootServices: 0x4000_1000n };
const RUNTIME = 0x4000_2000n;
const STALL = 0x4773_cab0n;
/** UEFI 4.4: Stall is the 29th pointer of EFI_BOOT_SERVICES; 4.5: GetTime is the first of EFI_RUNTIME_SERVICES. */
const STALL_OFFSET = 0xf8n;

function machine(): FakeMemory {
  const memory = new FakeMemory();
  memory.setWord(ROOTS.systemTable, 0x5453_5953_2049_4249n);
  memory.setWord(ROOTS.systemTable + 0x58n, RUNTIME);
  memory.setWord(ROOTS.systemTable + 0x60n, ROOTS.bootServices);
  memory.setWord(ROOTS.bootServices, 0x5652_4553_544f_4f42n);
  memory.setWord(ROOTS.bootServices + STALL_OFFSET, STALL);
  memory.setWord(RUNTIME, 0x5652_4553_544e_5552n);
  memory.setWord(RUNTIME + 0x18n, 0x7c44_0000n);
  return memory;
}

/** A call at 0x1000 whose target was loaded from `loadedFrom`. */
function call(loadedFrom: bigint | undefined): BranchTrace {
  const known = loadedFrom !== undefined;
  const value = {
    loadedFrom: known ? { known, value: loadedFrom, assumes: [] } : { known: false, why: "overwritten" },
  };
  const site = { kind: "call", words: [], index: 0, address: virt(0x1000n), register: 8 };
  return { site, hops: [{ value }] } as unknown as BranchTrace;
}

async function service(branch: BranchTrace | undefined, change: (memory: FakeMemory) => void = () => undefined) {
  const memory = machine();
  const before = await readEfiTables(memory, ROOTS);
  change(memory);
  return calledService(branch, before, await readEfiTables(memory, ROOTS, before));
}

describe("the service that was called", () => {
  it("is the field that its pointer was loaded from, with what it was and is", async () => {
    const cleared = (memory: FakeMemory) => memory.bytes(ROOTS.bootServices).fill(0);
    expect(await service(call(ROOTS.bootServices + STALL_OFFSET), cleared)).toMatchObject({
      name: "gBS->Stall",
      offset: 0xf8,
      table: { name: "BootServices", address: ROOTS.bootServices },
      state: "zeroed",
      before: STALL,
      at: 0n,
      call: 0x1000n,
    });
  });

  it("may be a runtime service, whose table is still there", async () => {
    expect(await service(call(RUNTIME + 0x18n))).toMatchObject({
      name: "gRT->GetTime",
      state: "valid",
      at: 0x7c44_0000n,
    });
  });

  it("is unknown now where the table cannot be read any more", async () => {
    const gone = (memory: FakeMemory) => memory.remove(ROOTS.bootServices);
    expect(await service(call(ROOTS.bootServices + STALL_OFFSET), gone)).toMatchObject({
      state: "unreadable",
      at: undefined,
    });
  });

  it.each([
    ["a place between two fields", call(ROOTS.bootServices + STALL_OFFSET + 4n)],
    ["memory that is no table", call(0x4100_0000n)],
    ["a place that is not known", call(undefined)],
    ["no call", { site: { kind: "return" }, hops: [] } as BranchTrace],
    ["nothing", undefined],
  ])("is none for %s", async (_, branch) => {
    expect(await service(branch)).toBeUndefined();
  });
});
