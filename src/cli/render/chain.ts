/** The call chain of a fault, and how execution came to where no code can run. */
import type { Frame } from "../../aarch64/unwind.ts";
import { hex, hex16 } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { BranchTrace } from "../../code/index.ts";
import { type Fault, type FaultCode, placeOf } from "../../diagnose/fault.ts";
import { placeNote } from "../../diagnose/findings.ts";
import type { CalledService } from "../../diagnose/service.ts";
import type { LoadedImage } from "../../efi/images.ts";
import { style, table } from "./style.ts";

/** Frames that one screen shows. */
const MAX_FRAMES = 16;

export function renderChain({ chain, service, code }: Fault, images: readonly LoadedImage[]): string[] {
  if (chain === undefined) return [];
  const { frames, end } = chain.backtrace;
  const rows = frames.slice(0, MAX_FRAMES).map((frame, i) => frameCells(frame, i, images));
  const more = frames.length > MAX_FRAMES ? [style.quiet(`  … ${frames.length - MAX_FRAMES} frames more`)] : [];
  return [
    style.heading("Call chain"),
    ...table(rows),
    ...more,
    style.quiet(`  ends here: ${printable(end.text, 200)}`),
    ...renderBranch(chain.branch, service, images),
    ...renderCode(code),
  ];
}

/** What cannot be read is told by the chain already. */
function renderCode(code: FaultCode | undefined): string[] {
  if (code === undefined || code.listing.instructions.length === 0) return [];
  const rows = code.listing.instructions.map(({ address, mnemonic, operands }) => [
    `${address === code.address ? ">" : " "} ${hex(address)}`,
    mnemonic,
    printable(operands, 100),
  ]);
  return [style.heading(`Code at ${hex(code.address)}`), ...table(rows)];
}

/** The innermost frame by its pc, the others by the call in them. */
function frameCells({ pc, call, trust, doubts }: Frame, i: number, images: readonly LoadedImage[]): string[] {
  const address = call ?? pc;
  const doubt = trust === "sure" || trust === "likely" ? doubts.slice(0, 1) : [trust, ...doubts];
  return [`#${i}`, hex16(address), placeNote(placeOf(images, address)), style.quiet(printable(doubt.join("; "), 200))];
}

function renderBranch(
  branch: BranchTrace | undefined,
  service: CalledService | undefined,
  images: readonly LoadedImage[],
): string[] {
  if (branch === undefined) return [];
  const text = siteText(branch, images);
  if (service === undefined) return [`  ${text}`];
  const was =
    service.before === undefined
      ? ""
      : `, ${hex(service.before)} (${placeNote(placeOf(images, service.before))}) before the exit`;
  return [
    `  ${text}`,
    `  through ${style.bad(service.name)} at ${hex(service.table.address)} + 0x${service.offset.toString(16)}${was}`,
  ];
}

function siteText({ site }: BranchTrace, images: readonly LoadedImage[]): string {
  const place = (address: bigint): string => `${hex(address)} (${placeNote(placeOf(images, address))})`;
  switch (site.kind) {
    case "call":
      return `it was called from ${place(site.address)}`;
    case "return":
      return "a return led there: where from cannot be told";
    case "later":
      return `a branch from the function at ${place(site.called)} led there, which was called from ${place(site.address)}`;
    case "unknown":
      return `how execution came there cannot be told: ${printable(site.why, 200)}`;
  }
}
