/** `show FILE fault` and the end of the diff. */
import { hex, hex16 } from "../../base/hex.ts";
import type { Fault, FaultRegister } from "../../diagnose/fault.ts";
import type { Names } from "../../diagnose/names.ts";
import { type Place, placeNote } from "../../diagnose/place.ts";
import type { PointWalk } from "../../diagnose/walks.ts";
import { registerWords } from "../../report/words.ts";
import { renderCode, renderTrace } from "./chain.ts";
import { style, table } from "./style.ts";
import { renderWalks } from "./walk.ts";

/** `full`: registers and the code of callers too. */
export function renderFault(fault: Fault, names: Names, full = false): string[] {
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
    ...(full ? fault.code : fault.code.slice(0, SHORT_LISTINGS)).flatMap(renderCode),
    ...(full ? renderGeneral(fault) : []),
  ];
}

function placeRow(name: string, place: Place | undefined): string[] {
  return place === undefined ? [name, "could not be read", ""] : [name, hex(place.address), placeNote(place)];
}

function registerRow({ name, value, fields }: FaultRegister): string[] {
  return [name, hex(value), registerWords(fields)];
}

function renderWalkOf(name: string, address: bigint | undefined, walks: readonly PointWalk[]): string[] {
  if (address === undefined || walks.length === 0) return [];
  return [style.heading(`Walk of ${name} ${hex16(address)}`), ...renderWalks(walks)];
}

/** Listings of what is no full view. */
const SHORT_LISTINGS = 2;
/** Registers a line. */
const COLUMNS = 4;

function renderGeneral({ general }: Fault): string[] {
  const cells = general.map(({ name, value }) => [name, hex16(value)]);
  const rows = Array.from({ length: Math.ceil(cells.length / COLUMNS) }, (_, i) =>
    cells.slice(i * COLUMNS, (i + 1) * COLUMNS).flat(),
  );
  return [style.heading("General registers"), ...table(rows)];
}
