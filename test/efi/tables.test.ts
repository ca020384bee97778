import { describe, expect, it } from "vitest";
import { readConfigurationTables } from "../../src/efi/configuration.ts";
import { compareTables, type EfiTables, readEfiTables, tableServices } from "../../src/efi/tables.ts";
import type { FakeMemory } from "../support/fake-memory.ts";
import {
  BOOT_SERVICES,
  buildFirmware,
  CON_IN,
  CON_IN_MEMBERS,
  CON_OUT,
  CON_OUT_MEMBERS,
  CONFIGURATION_TABLE,
  CONSOLE_CODE,
  DEBUG_HEADER,
  guidBytes,
  RUNTIME_CODE,
  RUNTIME_SERVICE_NAMES,
  RUNTIME_SERVICES,
  SERVICES,
  SERVICES_CODE,
  STD_ERR,
  SYSTEM_TABLE,
  writeWords,
} from "../support/firmware.ts";

const ROOTS = { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES };
const OFFSETS = { ConsoleInHandle: 0x28n, ConIn: 0x30n, ConOut: 0x40n, StdErr: 0x50n, BootServices: 0x60n };

/** What edk2 does in CoreExitBootServices: the boot services table is cleared, pointers to it and to consoles become NULL. */
function exitBootServices(memory: FakeMemory): void {
  memory.write(BOOT_SERVICES, new Uint8Array(24 + SERVICES.length * 8));
  for (const offset of Object.values(OFFSETS)) writeWords(memory, SYSTEM_TABLE + offset, [0n]);
}

const states = ({ tables }: EfiTables) => tables.map(({ name, address, state }) => [name, address, state]);

describe("UEFI's tables", () => {
  it("are found from the system table, with all their fields", async () => {
    const { memory } = buildFirmware();
    const read = await readEfiTables(memory, ROOTS);
    expect(states(read)).toEqual([
      ["SystemTable", SYSTEM_TABLE, "valid"],
      ["BootServices", BOOT_SERVICES, "valid"],
      ["RuntimeServices", RUNTIME_SERVICES, "valid"],
      ["ConIn", CON_IN, "valid"],
      ["ConOut", CON_OUT, "valid"],
      ["StdErr", STD_ERR, "valid"],
    ]);
    const fieldsOf = (name: string) => [...(read.tables.find((table) => table.name === name)?.fields.keys() ?? [])];
    expect(fieldsOf("BootServices")).toEqual(["Hdr.Signature", ...SERVICES]);
    expect(fieldsOf("RuntimeServices")).toEqual(["Hdr.Signature", ...RUNTIME_SERVICE_NAMES]);
    expect([fieldsOf("ConIn"), fieldsOf("ConOut")]).toEqual([CON_IN_MEMBERS, CON_OUT_MEMBERS]);
  });

  it("take three batches", async () => {
    const { memory } = buildFirmware();
    await readEfiTables(memory, ROOTS);
    expect(memory.batches).toHaveLength(3);
  });

  it("are read where they were once their pointers are gone", async () => {
    const { memory } = buildFirmware();
    const before = await readEfiTables(memory, ROOTS);
    exitBootServices(memory);
    const after = await readEfiTables(memory, ROOTS, before);
    expect(states(after)).toEqual([
      ["SystemTable", SYSTEM_TABLE, "valid"],
      ["BootServices", BOOT_SERVICES, "zeroed"],
      ...states(before).slice(2),
    ]);
    const unknown = await readEfiTables(memory, ROOTS);
    expect(states(unknown).slice(3)).toEqual([
      ["ConIn", 0n, "absent"],
      ["ConOut", 0n, "absent"],
      ["StdErr", 0n, "absent"],
    ]);
  });

  it("are found where they came to be later", async () => {
    const { memory } = buildFirmware();
    writeWords(memory, SYSTEM_TABLE + OFFSETS.ConOut, [0n]);
    const before = await readEfiTables(memory, ROOTS);
    writeWords(memory, SYSTEM_TABLE + OFFSETS.ConOut, [CON_OUT]);
    expect(states(await readEfiTables(memory, ROOTS, before))[4]).toEqual(["ConOut", CON_OUT, "valid"]);
  });

  it("have no configuration tables behind a damaged system table", async () => {
    const { memory } = buildFirmware();
    expect((await readEfiTables(memory, ROOTS)).configuration).toHaveLength(2);
    writeWords(memory, SYSTEM_TABLE, [1n]);
    const read = await readEfiTables(memory, ROOTS);
    expect([states(read)[0]?.[2], read.configuration]).toEqual(["damaged", undefined]);
  });

  it("say when they are damaged or cannot be read", async () => {
    const { memory } = buildFirmware();
    writeWords(memory, RUNTIME_SERVICES, [1n]);
    writeWords(memory, SYSTEM_TABLE + OFFSETS.ConOut, [0x9000_0000n]);
    const read = await readEfiTables(memory, ROOTS);
    expect(states(read).slice(2, 5)).toEqual([
      ["RuntimeServices", RUNTIME_SERVICES, "damaged"],
      ["ConIn", CON_IN, "valid"],
      ["ConOut", 0x9000_0000n, "unreadable"],
    ]);
    const gone = await readEfiTables(memory, { systemTable: 0x9000_0000n, bootServices: 0n });
    expect(gone.configuration).toBeUndefined();
    expect(states(gone)[0]).toEqual(["SystemTable", 0x9000_0000n, "unreadable"]);
  });
});

describe("the configuration tables", () => {
  const place = (entries: bigint) => ({ configurationTable: CONFIGURATION_TABLE, configurationEntries: entries });

  it("have the names that specifications give their GUIDs", async () => {
    const { memory } = buildFirmware();
    memory.write(CONFIGURATION_TABLE, guidBytes("8868e871-e4f1-11d3-bc22-0080c73c8881"));
    memory.write(CONFIGURATION_TABLE + 48n, guidBytes("99999999-1111-2222-3333-444444444444"));
    writeWords(memory, CONFIGURATION_TABLE + 64n, [0x1234n]);
    expect(await readConfigurationTables(memory, place(3n))).toEqual([
      { guid: "8868e871-e4f1-11d3-bc22-0080c73c8881", name: "EFI_ACPI_TABLE_GUID", address: 0x47f0_9000n },
      {
        guid: "49152e77-1ada-4764-b7a2-7afefed95e8b",
        name: "EFI_DEBUG_IMAGE_INFO_TABLE_GUID",
        address: DEBUG_HEADER,
      },
      { guid: "99999999-1111-2222-3333-444444444444", name: undefined, address: 0x1234n },
    ]);
  });

  it("may be none, are at most 256, and are not known when they cannot be read", async () => {
    const { memory } = buildFirmware();
    expect(await readConfigurationTables(memory, place(0n))).toEqual([]);
    expect(await readConfigurationTables(memory, place(257n))).toBeUndefined();
    expect(await readConfigurationTables(memory, place((1n << 32n) + 1n))).toBeUndefined();
    const outside = { configurationTable: 0x9000_0000n, configurationEntries: 1n };
    expect(await readConfigurationTables(memory, outside)).toBeUndefined();
  });
});

describe("the difference between the tables of two points", () => {
  async function differences(change: (memory: FakeMemory) => void) {
    const { memory } = buildFirmware();
    const before = await readEfiTables(memory, ROOTS);
    change(memory);
    return compareTables(before, await readEfiTables(memory, ROOTS, before));
  }

  it("is nothing where nothing changed", async () => {
    expect(await differences(() => undefined)).toEqual([]);
  });

  it("names what ExitBootServices cleared: each service and each pointer", async () => {
    const found = await differences(exitBootServices);
    const services = SERVICES.filter((name) => name !== "Reserved").map((name) => `BootServices.${name}`);
    const pointers = Object.keys(OFFSETS).map((name) => `SystemTable.${name}`);
    expect(found.map(({ name }) => name)).toEqual([...pointers, "BootServices.Hdr.Signature", ...services]);
    expect(found.every(({ kind, after }) => kind === "changed" && after === 0n)).toBe(true);
    const stall = SERVICES.indexOf("Stall");
    expect(found).toContainEqual({
      ...{ name: "BootServices.Stall", kind: "changed", after: 0n },
      before: SERVICES_CODE + BigInt(stall * 64),
    });
  });

  it("names a hooked console function and a runtime service made virtual", async () => {
    const found = await differences((memory) => {
      writeWords(memory, CON_OUT + 8n, [0x4600_0000n]);
      writeWords(memory, RUNTIME_SERVICES + 24n, [0xffff_0000_1000_0000n]);
      writeWords(memory, SYSTEM_TABLE + 0x58n, [0xffff_0000_47f0_8000n]);
    });
    expect(found.map(({ name, after }) => [name, after])).toEqual([
      ["SystemTable.RuntimeServices", 0xffff_0000_47f0_8000n],
      ["RuntimeServices.GetTime", 0xffff_0000_1000_0000n],
      ["ConOut.OutputString", 0x4600_0000n],
    ]);
  });

  it("names configuration tables that came, went and moved, in whatever order they stand", async () => {
    const found = await differences((memory) => {
      const [debug, dtb] = ["49152e77-1ada-4764-b7a2-7afefed95e8b", "b1b621d5-f19c-41a5-830b-d9152c69aae0"];
      memory.write(CONFIGURATION_TABLE, guidBytes(debug));
      memory.write(CONFIGURATION_TABLE + 24n, guidBytes(dtb));
      writeWords(memory, CONFIGURATION_TABLE + 16n, [0x4711_0000n]);
    });
    expect(found).toEqual([
      { name: "ConfigurationTable[EFI_ACPI_TABLE_GUID]", kind: "removed", before: 0x47f0_9000n, after: undefined },
      {
        ...{ name: "ConfigurationTable[EFI_DEBUG_IMAGE_INFO_TABLE_GUID]", kind: "changed" },
        ...{ before: DEBUG_HEADER, after: 0x4711_0000n },
      },
      { name: "ConfigurationTable[EFI_DTB_TABLE_GUID]", kind: "added", before: undefined, after: DEBUG_HEADER },
    ]);
  });

  it("is unknown where one side could not be read, and nothing is said of configuration tables then", async () => {
    const found = await differences((memory) => {
      memory.makeUnreadable(RUNTIME_SERVICES & ~0xfffn);
      memory.makeUnreadable(CONFIGURATION_TABLE & ~0xfffn);
    });
    expect(found).toHaveLength(1 + RUNTIME_SERVICE_NAMES.length);
    expect(found.every(({ kind, after }) => kind === "unknown" && after === undefined)).toBe(true);
  });
});

describe("names of functions from tables", () => {
  it("cover boot and runtime services and the consoles, and nothing that is no function", async () => {
    const names = tableServices(await readEfiTables(buildFirmware().memory, ROOTS));
    expect(names.get(SERVICES_CODE + 26n * 64n)).toBe("gBS->ExitBootServices");
    expect(names.get(RUNTIME_CODE + 6n * 64n)).toBe("gRT->GetVariable");
    expect(names.get(CONSOLE_CODE + 64n)).toBe("gST->ConIn->ReadKeyStroke");
    expect(names.get(CONSOLE_CODE + 0x1040n)).toBe("gST->ConOut->OutputString");
    expect(names.get(CONSOLE_CODE + 0x2040n)).toBe("gST->StdErr->OutputString");
    const functions = SERVICES.length - 1 + RUNTIME_SERVICE_NAMES.length + 2 + 9 + 9;
    expect(functions).toBe(77);
    expect(names.size).toBe(functions);
    expect([CON_IN + 8n, 0x47f0_7280n, 0n].map((address) => names.get(address))).toEqual([
      ...[undefined, undefined, undefined],
    ]);
  });

  it("are several where several fields point at one function", async () => {
    const { memory } = buildFirmware();
    writeWords(memory, STD_ERR + 8n, [CONSOLE_CODE + 0x1040n]);
    writeWords(
      memory,
      RUNTIME_SERVICES + 24n,
      [1n, 2n, 3n, 4n, 5n].map(() => 0x4600_0000n),
    );
    const names = tableServices(await readEfiTables(memory, ROOTS));
    expect(names.get(CONSOLE_CODE + 0x1040n)).toBe("gST->ConOut->OutputString or gST->StdErr->OutputString");
    expect(names.get(0x4600_0000n)).toBe("gRT->GetTime or gRT->SetTime or gRT->GetWakeupTime or 2 more");
  });

  it("are not taken from a damaged or cleared table, nor from a pointer that is no code address", async () => {
    const { memory } = buildFirmware();
    writeWords(memory, RUNTIME_SERVICES, [1n]);
    writeWords(memory, BOOT_SERVICES + 24n, [0x4600_0002n]);
    const names = tableServices(await readEfiTables(memory, ROOTS));
    expect([...names.values()].some((name) => name.startsWith("gRT"))).toBe(false);
    expect(names.has(0x4600_0002n)).toBe(false);
    exitBootServices(memory);
    expect([...tableServices(await readEfiTables(memory, ROOTS)).values()]).toEqual([]);
  });
});
