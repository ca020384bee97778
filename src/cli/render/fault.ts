/** `show FILE fault` and the end of the diff. */
import { hex, hex16 } from "../../base/hex.ts";
import type { Fault, FaultRegister } from "../../diagnose/fault.ts";
import type { Names } from "../../diagnose/names.ts";
import { type Place, placeNote } from "../../diagnose/place.ts";
import type { PointWalk } from "../../diagnose/walks.ts";
import { renderCode, renderTrace } from "./chain.ts";
import { style, table } from "./style.ts";
import { renderWalks } from "./walk.ts";

export function renderFault(fault: Fault, names: Names): string[] {
  const { vector, syndrome, level, esr, pc, far, linkRegister } = fault;
  const how = vector === undefined ? "exception" : `${vector.kind} exception from ${vector.from}`;
  const rows = [
    placeRow("PC", pc),
    esr === undefined
      ? [`ESR_EL${level}`, "could not be read", ""]
      : [`ESR_EL${level}`, hex(esr), `EC 0x${syndrome?.ec.toString(16)}: ${syndrome?.summary}`],
    ...(far === undefined ? [] : [placeRow(`FAR_EL${level}`, far)]),
    ...(fault.spsr === undefined ? [] : [registerRow(fault.spsr)]),
    ...(fault.hpfar === undefined ? [] : [registerRow(fault.hpfar)]),
    placeRow("x30", linkRegister),
  ];
  return [
    style.bad(style.heading(`Fault on vCPU ${fault.cpu}, taken to EL${level}: ${how}`)),
    ...table(rows),
    ...renderWalkOf("PC", pc?.address, fault.pcWalks),
    ...renderWalkOf("FAR", far?.address, fault.farWalks),
    style.heading("Call chain"),
    ...renderTrace(fault.trace, names),
    ...fault.code.flatMap(renderCode),
  ];
}

function placeRow(name: string, place: Place | undefined): string[] {
  return place === undefined ? [name, "could not be read", ""] : [name, hex(place.address), placeNote(place)];
}

/** `from EL1h: EL1 with SP_EL1; set: Z C D A I F` */
function registerRow({ name, value, fields }: FaultRegister): string[] {
  const mode = fields.find((field) => field.name === "M[3:0]");
  const shown = fields.filter((field) => field !== mode && field.value !== 0n);
  const wide = shown.filter(({ high, low }) => high !== low).map((field) => `${field.name}=${hex(field.value)}`);
  const flags = shown.filter(({ high, low }) => high === low).map((field) => field.name);
  const words = [
    mode === undefined ? "" : `from ${mode.meaning}`,
    ...wide,
    flags.length === 0 ? "" : `set: ${flags.join(" ")}`,
  ];
  return [name, hex(value), words.filter((word) => word !== "").join("; ")];
}

function renderWalkOf(name: string, address: bigint | undefined, walks: readonly PointWalk[]): string[] {
  if (address === undefined || walks.length === 0) return [];
  return [style.heading(`Walk of ${name} ${hex16(address)}`), ...renderWalks(walks)];
}
