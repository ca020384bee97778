/**
 * A service of UEFI used after the exit: called through a pointer that ExitBootServices had zeroed, or looked up in a table whose address
 * it had set to NULL.
 *
 * Source: UEFI 2.10, 7.4.6: on success the firmware clears the console fields of the system table and BootServices; edk2 zeroes the table
 * of boot services itself as well.
 */
import { hex } from "../../base/hex.ts";
import { type EfiTables, type FieldPlace, fieldAt, type TableName } from "../../efi/tables.ts";
import { type Place, placeName, placeText } from "../place.ts";
import type { Study } from "../study.ts";
import { firstTables } from "../trace.ts";
import { type Scene, sceneOf } from "./abort.ts";
import { hasLeft } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

/** Nothing else is said of ExitBootServices than what was seen: it succeeded, a pointer before, none after, and where that led. */
export function serviceCalledAfterExit({ study }: Facts): Verdict | undefined {
  if (!hasLeft(study.capture)) return undefined;
  return throughZeroedField(study) ?? throughNullTable(study);
}

/** The call went to 0: its pointer had been zeroed. */
function throughZeroedField(study: Study): Verdict | undefined {
  const { names, fault } = study;
  const { trace, linkRegister } = fault ?? {};
  const { service, site } = trace ?? {};
  if (service?.at !== 0n || !service.before || fault?.pc?.address !== 0n || site === undefined) return undefined;
  if (fieldOf(study.tables.get("after"), service.table.name, service.field) !== 0n) return undefined;
  return {
    severity: "error",
    title: `${placeName(site)} called ${service.name} after ExitBootServices, which had zeroed it: the call went to 0.`,
    evidence: [
      `the call at ${placeText(site)}`,
      `it went through ${service.name}, offset 0x${service.offset.toString(16)} of the table ${service.table.name} at ${hex(service.table.address)}`,
      `the pointer was ${placeText(names.place(service.before))} before the exit, and is 0 now`,
      ...linkEvidence(linkRegister),
    ],
  };
}

function linkEvidence(linkRegister: Place | undefined): string[] {
  return linkRegister === undefined ? [] : [`x30 = ${placeText(linkRegister)}`];
}

/** A load from just above 0, whose base is 0 because it came from a field of the system table that is NULL now. */
function throughNullTable(study: Study): Verdict | undefined {
  const scene = sceneOf(study);
  const { access } = study;
  if (scene?.abort?.access !== "read" || scene.far === undefined || access?.value !== 0n) return undefined;
  const before = firstTables(study.capture, study.tables);
  const now = study.tables.get(scene.fault.point);
  if (before === undefined || now === undefined) return undefined;
  for (const { value } of access.hops) {
    const pointer = value.loadedFrom?.known ? fieldAt(before, value.loadedFrom.value) : undefined;
    const zeroed = pointer && fieldOf(study.tables.get("after"), "SystemTable", pointer.field) === 0n;
    const verdict = zeroed && nullTable(scene, access.base, pointer, before, now);
    if (verdict) return verdict;
  }
  return undefined;
}

/** The fields of the system table that hold the address of a table of functions. */
const TABLE_POINTERS: ReadonlyMap<string, TableName> = new Map(
  (["ConIn", "ConOut", "StdErr", "BootServices"] as const).map((name) => [name, name]),
);

function nullTable(
  { fault, pc, far }: Scene,
  base: string,
  { table, field, offset, name }: FieldPlace,
  before: EfiTables,
  now: EfiTables,
): Verdict | undefined {
  const pointed = TABLE_POINTERS.get(field);
  const [was, is] = [before, now].map((tables) => fieldOf(tables, "SystemTable", field));
  if (table.name !== "SystemTable" || pointed === undefined || !was || is !== 0n || far === undefined) return undefined;
  const address = before.tables.find((each) => each.name === pointed)?.address ?? was;
  const service = fieldAt(
    { ...before, tables: before.tables.filter((each) => each.name === pointed) },
    address + far.address,
  );
  if (service === undefined) return undefined;
  return {
    severity: "error",
    title: `${placeName(pc)} used ${service.name} after ExitBootServices, which had set ${name} to NULL: it read ${hex(far.address)}.`,
    evidence: [
      `the load at ${placeText(pc)}`,
      `its base ${base} is 0, loaded from ${name}, offset 0x${offset.toString(16)} of the system table at ${hex(table.address)}`,
      `${name} was ${hex(was)} before the exit, and is 0 now; ${service.field} stands at offset ${hex(far.address)} there`,
      ...linkEvidence(fault.linkRegister),
    ],
  };
}

function fieldOf(tables: EfiTables | undefined, table: TableName, field: string): bigint | undefined {
  return tables?.tables.find(({ name }) => name === table)?.fields.get(field);
}
