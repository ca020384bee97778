/** Damaged tables of UEFI: the system table with what it points at, the memory map, the memory attributes table. */
import { descriptorAt, type MemoryMapRead, readMemoryAttributes, readMemoryMap } from "../../src/efi/memory-map.ts";
import { findSystemTable, readBootServices, readSystemTable } from "../../src/efi/system-table.ts";
import { compareTables, type EfiTables, fieldAt, readEfiTables, tableServices } from "../../src/efi/tables.ts";
import { mapBytes } from "../efi/writers.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import {
  BOOT_SERVICES,
  buildFirmware,
  CON_OUT,
  CONFIGURATION_TABLE,
  type Firmware,
  POINTER,
  RANGES,
  RUNTIME_SERVICES,
  SYSTEM_TABLE,
} from "../support/firmware.ts";
import type { Random } from "../support/random.ts";
import { type Bench, counted, damaged, type Kind, must, mustBePrintable, type Place, type Verdict } from "./kind.ts";

const TABLES: readonly Place[] = [
  { at: POINTER, size: 24 },
  { at: SYSTEM_TABLE, size: 120 },
  { at: BOOT_SERVICES, size: 376 },
  { at: RUNTIME_SERVICES, size: 136 },
  { at: CON_OUT, size: 80 },
  { at: CONFIGURATION_TABLE, size: 48 },
];
const ROOTS = { systemTable: SYSTEM_TABLE, bootServices: BOOT_SERVICES };

function openTables(): Bench {
  const firmware = buildFirmware();
  const sound = readEfiTables(firmware.memory, ROOTS);
  return {
    run: async (random) => {
      const known = await sound;
      return damaged(firmware.memory, random, TABLES, () => readTables(firmware, known, random));
    },
  };
}

async function readTables({ memory }: Firmware, sound: EfiTables, random: Random): Promise<Verdict> {
  memory.batches.length = 0;
  const { value: read, bytes } = await counted(memory, () =>
    readEfiTables(memory, ROOTS, random.chance(0.5) ? sound : undefined),
  );
  must(memory.batches.length <= 3 && bytes <= 16 << 10, `${memory.batches.length} batches, ${bytes} bytes`);
  const names = tableServices(read);
  must(names.size <= 77 && !names.has(0n), `${names.size} services`);
  const changes = compareTables(sound, read);
  const configuration = read.configuration?.flatMap(({ guid, name }) => [guid, name]) ?? [];
  mustBePrintable([...names.values(), ...changes.map(({ name }) => name), ...configuration]);
  fieldAt(read, random.pick(TABLES).at + BigInt(random.below(400)));
  const outcomes = [
    ...read.tables.map(({ state }) => state),
    read.configuration === undefined ? "no configuration" : "configuration",
    ...changes.map(({ kind }) => kind),
  ];
  return { outcomes: [...outcomes, ...(await findTables(memory))] };
}

async function findTables(memory: FakeMemory): Promise<string[]> {
  const { value: search, bytes } = await counted(memory, () => findSystemTable(memory, RANGES));
  must(bytes <= 64 << 10, `${bytes} bytes read in a search`);
  const table = await readSystemTable(memory, SYSTEM_TABLE);
  const services = table && (await readBootServices(memory, table));
  return [`table ${search.state}`, `services ${services?.state}`];
}

const MAP = 0x47a0_0010n;
const COUNT = 60;

function openMaps(): Bench {
  const memory = new FakeMemory();
  const header = new Uint8Array(16);
  [1, COUNT, 48, 0].forEach((word, i) => void new DataView(header.buffer).setUint32(i * 4, word, true));
  const rows = Array.from({ length: COUNT }, (_, i) => ({
    ...{ type: i % 16, start: BigInt(i) << 20n, pages: 256n, attribute: 0x8000_0000_0000_000fn },
  }));
  memory.write(MAP, Buffer.concat([header, mapBytes(rows)]));
  const places = [
    { at: MAP, size: 12 },
    { at: MAP + 16n, size: 48 * COUNT },
  ];
  return { run: (random) => damaged(memory, random, places, () => readMaps(memory, random)) };
}

async function readMaps(memory: FakeMemory, random: Random): Promise<Verdict> {
  memory.batches.length = 0;
  const table = await readMemoryAttributes(memory, MAP);
  must(memory.batches.length <= 2, `${memory.batches.length} reads of a table`);
  const sizes = { size: BigInt(48 * random.pick([60, 60, 59, 4096, 5000])), descriptorSize: 48n };
  const odd = random.chance(0.2) ? { descriptorSize: BigInt(random.below(300)) } : {};
  const anywhere = random.chance(0.05) ? { address: random.word(), size: random.word() } : {};
  const place = { address: MAP + 16n, ...sizes, descriptorVersion: 1, ...odd, ...anywhere };
  const { value: map, bytes } = await counted(memory, () => readMemoryMap(memory, place));
  must(bytes <= 1 << 20, `${bytes} bytes of a map`);
  return { outcomes: [`table ${table.state}`, ...judged(map, random)] };
}

function judged(map: MemoryMapRead, random: Random): string[] {
  if (map.state !== "read") return [`map ${map.state}`];
  must(map.problems.length <= 5 && map.descriptors.length <= 4096, `${map.descriptors.length} descriptors`);
  mustBePrintable([
    ...map.problems,
    ...map.descriptors.slice(0, 60).flatMap((each) => [each.typeName, ...each.attributes]),
  ]);
  const address = random.chance(0.5) ? BigInt(random.below(64 << 20)) : random.word();
  const owner = descriptorAt(map.descriptors, address);
  must(owner === undefined || owner.physicalStart <= address, "a descriptor of other memory");
  return ["map read", map.problems.length > 0 ? "with problems" : "without problems"];
}

export const TABLE_KINDS: readonly Kind[] = [
  {
    name: "tables",
    share: 160,
    outcomes: [
      ...[
        "valid",
        "damaged",
        "unreadable",
        "configuration",
        "no configuration",
        "changed",
        "added",
        "removed",
        "unknown",
      ],
      ...["table found", "table invalid", "table none", "services valid", "services invalid", "services undefined"],
    ],
    open: openTables,
  },
  {
    name: "memory maps",
    share: 120,
    outcomes: [
      ...["table read", "table invalid", "table unreadable", "map read", "map invalid", "map unreadable"],
      ...["with problems", "without problems"],
    ],
    open: openMaps,
  },
];
