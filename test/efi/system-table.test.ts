import { describe, expect, it } from "vitest";
import { phys } from "../../src/base/address.ts";
import type { MemoryRange } from "../../src/base/memory.ts";
import { BOOT_SERVICES_SIZE, isError, MEMORY_TYPES, statusName } from "../../src/efi/structures.ts";
import {
  findSystemTable,
  readBootServices,
  readSystemTable,
  type SystemTable,
  serviceOffset,
} from "../../src/efi/system-table.ts";
import { readEfiTables } from "../../src/efi/tables.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import {
  ascii,
  BOOT_SERVICES,
  buildFirmware,
  CONFIGURATION_TABLE,
  POINTER,
  RAM_SIZE,
  RAM_START,
  RANGES,
  SERVICES,
  SERVICES_CODE,
  SYSTEM_TABLE,
  writePointer,
} from "../support/firmware.ts";

const TABLE: SystemTable = {
  address: SYSTEM_TABLE,
  bootServices: BOOT_SERVICES,
  configurationTable: CONFIGURATION_TABLE,
  configurationEntries: 2n,
};
const FOUR_MIB = 4n << 20n;

function range(start: bigint, size: bigint, kind: MemoryRange["kind"] = "ram"): MemoryRange {
  return { start: phys(start), size, kind, name: "x" };
}

function put32(memory: FakeMemory, at: bigint, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  memory.write(at, bytes);
}

describe("the search for the system table", () => {
  it("finds it through the pointer on a 4 MiB boundary", async () => {
    const { memory } = buildFirmware();
    expect(await findSystemTable(memory, RANGES)).toEqual({ state: "found", pointer: POINTER, table: TABLE });
  });

  it("looks at each 4 MiB boundary of RAM with one batch of small reads", async () => {
    const memory = new FakeMemory();
    expect(await findSystemTable(memory, RANGES)).toEqual({ state: "none" });
    expect(memory.batches).toHaveLength(1);
    const wanted = Array.from({ length: Number(RAM_SIZE / FOUR_MIB) }, (_, i) => RAM_START + BigInt(i) * FOUR_MIB);
    expect(memory.pagesRead).toEqual(wanted);
    expect(memory.bytesRead).toBeLessThan(wanted.length * 64);
  });

  it("leaves out ROM, what lies before the first boundary, and a boundary with no room behind it", async () => {
    const memory = new FakeMemory();
    await findSystemTable(memory, [
      range(0n, 8n << 20n, "rom"),
      range(0x4000_1000n, FOUR_MIB),
      range(0x5000_0000n, FOUR_MIB + 23n),
      range(0x6000_0000n, FOUR_MIB + 24n),
      range(0x7000_1000n, 0x1000n),
    ]);
    expect(memory.pagesRead).toEqual([0x4040_0000n, 0x5000_0000n, 0x6000_0000n, 0x6040_0000n]);
  });

  it("looks at the boundaries of 1 TiB at most, whatever size the machine claims", async () => {
    const memory = new FakeMemory();
    expect(await findSystemTable(memory, [range(0n, 1n << 63n), range(1n << 63n, 1n << 63n)])).toEqual({
      state: "none",
    });
    expect(memory.pagesRead).toHaveLength(1 << 18);
  });

  it("does not find a pointer off the boundary", async () => {
    const { memory } = buildFirmware();
    memory.remove(POINTER);
    writePointer(memory, POINTER + 0x1000n, SYSTEM_TABLE);
    expect(await findSystemTable(memory, RANGES)).toEqual({ state: "none" });
  });

  it.each([
    ["before", POINTER - FOUR_MIB],
    ["behind", POINTER + FOUR_MIB],
  ])("passes over a decoy with a wrong CRC %s the pointer", async (_, at) => {
    const { memory } = buildFirmware();
    writePointer(memory, at, 0x4100_0000n);
    put32(memory, at + 16n, 0x1234_5678);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "found", pointer: POINTER });
  });

  it("passes over a whole pointer that leads to no table", async () => {
    const { memory } = buildFirmware();
    writePointer(memory, POINTER - FOUR_MIB, 0x4100_0000n);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "found", pointer: POINTER });
  });

  it("holds the CRC against all 24 bytes of the pointer, whatever fills the last four", async () => {
    const { memory } = buildFirmware();
    writePointer(memory, POINTER, SYSTEM_TABLE, 0xafaf_afaf);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "found" });
    put32(memory, POINTER + 20n, 0);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "invalid" });
  });

  it("takes a HeaderSize that is larger than the table of today", async () => {
    const { memory, seal } = buildFirmware();
    put32(memory, SYSTEM_TABLE + 12n, 0x200);
    put32(memory, SYSTEM_TABLE + 0x1f0n, 0x55);
    seal(SYSTEM_TABLE);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "found" });
    put32(memory, SYSTEM_TABLE + 0x1f0n, 0x56);
    expect(await findSystemTable(memory, RANGES)).toMatchObject({ state: "invalid" });
  });

  it.each<[string, RegExp, (memory: FakeMemory, seal: (table: bigint) => void) => void]>([
    ["the pointer has no CRC yet", /CRC32 of EFI_SYSTEM_TABLE_POINTER/, (memory) => put32(memory, POINTER + 16n, 0)],
    ["the table lies outside RAM", /outside RAM/, (memory) => writePointer(memory, POINTER, 0x8000_0000n)],
    [
      "the table is cut by the end of RAM",
      /outside RAM/,
      (memory) => {
        memory.write(0x47ff_ffb0n, ascii("IBI SYST"));
        writePointer(memory, POINTER, 0x47ff_ffb0n);
      },
    ],
    ["the table has no signature", /no signature/, (memory) => memory.write(SYSTEM_TABLE, ascii("IBI_SYST"))],
    [
      "the table changed behind its CRC",
      /CRC32 of the system table/,
      (memory) => put32(memory, SYSTEM_TABLE + 0x60n, 0),
    ],
    [
      "HeaderSize is less than a header",
      /CRC32 of the system table/,
      (memory) => put32(memory, SYSTEM_TABLE + 12n, 23),
    ],
    [
      "HeaderSize is beyond measure",
      /CRC32 of the system table/,
      (memory) => put32(memory, SYSTEM_TABLE + 12n, 0xffff_ffff),
    ],
  ])("is invalid when %s", async (_, why, change) => {
    const { memory, seal } = buildFirmware();
    change(memory, seal);
    expect(await findSystemTable(memory, RANGES)).toEqual({ state: "invalid", why: expect.stringMatching(why) });
  });

  it("reads it again where it is known to be, for as long as its signature stands", async () => {
    const { memory } = buildFirmware();
    put32(memory, SYSTEM_TABLE + 16n, 0);
    expect(await readSystemTable(memory, SYSTEM_TABLE)).toEqual(TABLE);
    memory.write(SYSTEM_TABLE, new Uint8Array(8));
    expect(await readSystemTable(memory, SYSTEM_TABLE)).toBeUndefined();
    expect(await readSystemTable(memory, 0x8000_0000n)).toBeUndefined();
  });
});

describe("boot services", () => {
  it("are valid, and ExitBootServices is the pointer at 0xe8", async () => {
    const { memory } = buildFirmware();
    const exitBootServices = memory.word(BOOT_SERVICES + 0xe8n);
    expect(exitBootServices).toBe(SERVICES_CODE + 26n * 64n);
    expect(await readBootServices(memory, TABLE)).toEqual({ state: "valid", exitBootServices, crcValid: true });
  });

  it("say when their CRC is wrong, as after a driver hooked a service", async () => {
    const { memory } = buildFirmware();
    put32(memory, BOOT_SERVICES + 0xe8n, 0x4760_0000);
    const wanted = { state: "valid", exitBootServices: 0x4760_0000n, crcValid: false };
    expect(await readBootServices(memory, TABLE)).toEqual(wanted);
  });

  it("have been left when SystemTable.BootServices is NULL", async () => {
    const { memory } = buildFirmware();
    expect(await readBootServices(memory, { ...TABLE, bootServices: 0n })).toEqual({ state: "left" });
    expect(memory.batches).toEqual([]);
  });

  it("have been left when the table is all zero", async () => {
    const { memory } = buildFirmware();
    memory.write(BOOT_SERVICES, new Uint8Array(376));
    expect(await readBootServices(memory, TABLE)).toEqual({ state: "left" });
  });

  it.each<[string, RegExp, bigint, (memory: FakeMemory) => void]>([
    [
      "the signature is another",
      /no signature/,
      BOOT_SERVICES,
      (memory) => memory.write(BOOT_SERVICES, ascii("RUNTSERV")),
    ],
    [
      "one byte is left of a cleared table",
      /no signature/,
      BOOT_SERVICES,
      (memory) => {
        memory.write(BOOT_SERVICES, new Uint8Array(376));
        memory.write(BOOT_SERVICES + 375n, Uint8Array.of(1));
      },
    ],
    ["the table lies outside RAM", /outside RAM/, 0x8000_0000n, () => undefined],
    ["ExitBootServices is NULL", /no code address/, BOOT_SERVICES, (memory) => put32(memory, BOOT_SERVICES + 0xe8n, 0)],
    [
      "ExitBootServices is odd",
      /no code address/,
      BOOT_SERVICES,
      (memory) => put32(memory, BOOT_SERVICES + 0xe8n, 0x4760_0002),
    ],
  ])("are invalid when %s", async (_, why, bootServices, change) => {
    const { memory } = buildFirmware();
    change(memory);
    const state = await readBootServices(memory, { ...TABLE, bootServices });
    expect(state).toEqual({ state: "invalid", why: expect.stringMatching(why) });
  });
});

describe("the fields of both tables", () => {
  it("are named and placed as in the specification", async () => {
    const { memory } = buildFirmware();
    const { tables } = await readEfiTables(memory, { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES });
    const values = new Map(
      tables.flatMap(({ name: table, fields }) =>
        [...fields].map(([name, value]) => [`${table}.${name}`, value] as const),
      ),
    );
    expect(values.get("SystemTable.FirmwareVendor")).toBe(0x47f0_6000n);
    expect(values.get("SystemTable.ConOut")).toBe(0x47f0_7200n);
    expect(values.get("SystemTable.RuntimeServices")).toBe(0x47f0_8000n);
    expect(values.get("SystemTable.BootServices")).toBe(BOOT_SERVICES);
    expect(values.get("SystemTable.NumberOfTableEntries")).toBe(2n);
    expect(values.get("SystemTable.ConfigurationTable")).toBe(CONFIGURATION_TABLE);
    expect(values.get("BootServices.Hdr.Signature")).toBe(Buffer.from("BOOTSERV").readBigUInt64LE());
    const named = SERVICES.map((name) => [name, values.get(`BootServices.${name}`)]);
    expect(named).toEqual(SERVICES.map((name, i) => [name, name === "Reserved" ? 0n : SERVICES_CODE + BigInt(i * 64)]));
    expect([...values.keys()].filter((name) => name.startsWith("BootServices."))).toHaveLength(1 + SERVICES.length);
  });

  it("have the offsets of a 64-bit machine", () => {
    expect(SERVICES.map(serviceOffset)).toEqual(SERVICES.map((_, i) => 24 + i * 8));
    expect(BOOT_SERVICES_SIZE).toBe(376);
    expect(() => serviceOffset("Nonsense")).toThrow(RangeError);
  });
});

describe("words of the specification", () => {
  it("name statuses by their code and the error bit", () => {
    expect(statusName(0n)).toBe("EFI_SUCCESS");
    expect(statusName(0x8000_0000_0000_0002n)).toBe("EFI_INVALID_PARAMETER");
    expect(statusName(0x8000_0000_0000_0009n)).toBe("EFI_OUT_OF_RESOURCES");
    expect(statusName(0x8000_0000_0000_ffffn)).toBeUndefined();
    expect(statusName(2n)).toBeUndefined();
    expect([0n, 1n, 2n ** 63n].map(isError)).toEqual([false, false, true]);
  });

  it("name memory types by their number", () => {
    expect([3, 4, 5, 6, 7, 11].map((type) => MEMORY_TYPES[type])).toEqual([
      ...["EfiBootServicesCode", "EfiBootServicesData", "EfiRuntimeServicesCode", "EfiRuntimeServicesData"],
      ...["EfiConventionalMemory", "EfiMemoryMappedIO"],
    ]);
  });
});
