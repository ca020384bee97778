/** The difference of two captures of two runs, for people: what differs, on one screen, and what could not be told. */
import type { RegimeName } from "../../aarch64/regime-model.ts";
import { hex, roughSize, sizeText } from "../../base/hex.ts";
import { plural, printable } from "../../base/text.ts";
import type { Across, At } from "../../diff/across/across.ts";
import type { CallAcross } from "../../diff/across/call.ts";
import { countAcross } from "../../diff/across/count.ts";
import type { EfiAcross } from "../../diff/across/efi-tables.ts";
import type { FindingAcross } from "../../diff/across/findings.ts";
import { isOtherRam } from "../../diff/across/mappings.ts";
import type { TypeAcross } from "../../diff/across/memory-maps.ts";
import type { AcrossFinding, AcrossSide, Two } from "../../diff/across/side.ts";
import { imageLabel } from "../../diff/owners.ts";
import type { RegisterChange } from "../../diff/registers.ts";
import { statusName } from "../../efi/structures.ts";
import { changeRow, mappingRows } from "./across-mappings.ts";
import { offeredLines, registerLines, runLines, unmatchedRegisters } from "./across-registers.ts";
import { renderCoverage } from "./diff.ts";
import { limited } from "./mappings.ts";
import { style, table } from "./style.ts";

/** Rows of a list that fit one screen together with the rest. */
const SCREEN_ROWS = 12;

export interface AcrossOptions {
  readonly files: Two<string>;
  readonly all: boolean;
}

export function renderAcross(across: Across, options: AcrossOptions): string {
  const limit = options.all ? Number.POSITIVE_INFINITY : SCREEN_ROWS;
  const lines = [
    ...header(across, options.files),
    ...section("Machine", machineRows(across), limit, "line"),
    ...registerLines(across, options.all),
    ...offeredLines(across, options.all),
    ...imageLines(across, limit),
    ...section("Mappings", [...mappingRows(across, "different", options.all), ...ramRows(across)], limit, "difference"),
    ...section("UEFI", across.efi.filter(({ verdict }) => verdict === "different").map(efiRow), limit, "field"),
    ...memoryMapLines(across),
    ...callLines(across.call, limit),
    ...section("Findings", across.findings.differences.flatMap(findingRows), limit, "finding"),
    ...sameLines(across),
    ...unmatchedLines(across, options.all),
    ...(options.all ? runLines(across) : []),
    ...coverageLines(across, limit),
  ];
  return `${lines.join("\n")}\n`;
}

function section(title: string, rows: readonly (readonly string[])[], limit: number, noun: string): string[] {
  return rows.length === 0 ? [] : [style.heading(title), ...limited(rows, limit, noun)];
}

function header(across: Across, files: Two<string>): string[] {
  const { different, unmatched } = countAcross(across);
  const verdict =
    different === 0 ? (unmatched === 0 ? "No difference" : "No difference seen") : plural(different, "difference");
  const only = (["a", "b"] as const)
    .filter((side) => across.onlyPoints[side].length > 0)
    .map((side) => `only in ${side}: ${across.onlyPoints[side].join(", ")}`);
  return [
    style.heading(`${verdict}   a → b, at ${across.points.join(", ")}`),
    style.quiet(`  a  ${captureText(across.sides.a, files.a)}`),
    style.quiet(`  b  ${captureText(across.sides.b, files.b)}`),
    ...(only.length === 0 ? [] : [style.quiet(`  points ${only.join("; ")}`)]),
    ...partial("a", across.sides.a),
    ...partial("b", across.sides.b),
  ];
}

function captureText({ capture, firmware }: AcrossSide, file: string): string {
  const vcpus = plural(capture.threads.length, "vCPU");
  const build = firmware === undefined ? "" : `, ${firmware.name}`;
  return `${printable(file)}: QEMU ${printable(capture.qemuVersion ?? "?", 80)}, ${vcpus}${build}`;
}

function partial(name: string, { capture }: AcrossSide): string[] {
  return capture.partial === undefined
    ? []
    : [style.warn(`  ${name} is PARTIAL: ${printable(capture.partial.message)}`)];
}

function machineRows({ machine }: Across): string[][] {
  return machine.map(({ what, texts }) => [what, `${printable(texts.a)} → ${printable(texts.b)}`]);
}

/** Images named in a line. */
const MAX_NAMES = 6;

function imageLines({ images: { pairs, only } }: Across, limit: number): string[] {
  const other = pairs.filter(({ build }) => build === "other").map(({ a }) => imageLabel(a));
  const unknown = pairs.filter(({ build }) => build === "unknown").map(({ a }) => imageLabel(a));
  const rows = [
    ["only in a", only.a.map(imageLabel)],
    ["only in b", only.b.map(imageLabel)],
    ["another build", other],
    ["header not captured in one", unknown],
  ] as const;
  const told = rows
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => [what, String(names.length), namesText(names, limit)]);
  return told.length === 0 ? [] : [style.heading("Images"), ...table(told)];
}

function namesText(names: readonly string[], limit: number): string {
  const most = Math.min(limit, MAX_NAMES) === MAX_NAMES ? MAX_NAMES : names.length;
  const shown = limit === Number.POSITIVE_INFINITY ? names : names.slice(0, most);
  const rest = names.length - shown.length;
  return shown.map((name) => printable(name, 60)).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function ramRows({ mapped, points }: Across): string[][] {
  return mapped.flatMap(({ ram, only, points: ids }) => {
    const when = ids.length === points.length ? "" : ` (at ${ids.join(", ")})`;
    const sizes = ram
      .filter(isOtherRam)
      .map(({ sizes: { a, b } }) => ["RAM at its own address", "", `${sizeText(a)} → ${sizeText(b)}${when}`]);
    const regimes = [...new Set([...only.a, ...only.b])].map((name) => [
      name,
      "",
      `${useText(name, only)}${when}: not compared`,
    ]);
    return [...sizes, ...regimes];
  });
}

function useText(name: RegimeName, only: Two<readonly RegimeName[]>): string {
  if (only.a.includes(name) && only.b.includes(name)) return "translates in one of them only";
  return `in use in ${only.a.includes(name) ? "a" : "b"} only`;
}

function efiRow({ name, values, places }: At<EfiAcross>): string[] {
  const text = (side: "a" | "b"): string => places[side] ?? (values[side] === undefined ? "none" : hex(values[side]));
  return [printable(name, 100), `${text("a")} → ${text("b")}`];
}

function memoryMapLines({ memoryMap }: Across): string[] {
  if (memoryMap === undefined || memoryMap.types.length === 0) return [];
  const { a, b } = memoryMap.descriptors;
  const count = a === b ? plural(a, "descriptor") : `${a} → ${plural(b, "descriptor")}`;
  return [`${style.heading("Memory map")}  ${count}`, ...table(memoryMap.types.map(typeRow))];
}

function typeRow({ type, pages, attributes }: TypeAcross): string[] {
  const [a, b] = [attributes.a.join(" | "), attributes.b.join(" | ")];
  const same = a === b || pages.a === 0n || pages.b === 0n;
  const amount = pages.a === pages.b ? amountText(pages.a) : `${amountText(pages.a)} → ${amountText(pages.b)}`;
  return [printable(type, 60), amount, same ? "" : `${a} → ${b}`];
}

function amountText(pages: bigint): string {
  return pages === 0n ? "none" : `${plural(pages, "page")} (${roughSize(pages << 12n)})`;
}

function callLines(call: CallAcross | undefined, limit: number): string[] {
  if (call === undefined) return [];
  const { status, attempts, mappings, registers, efi } = call;
  const rows = [
    ...(status === undefined ? [] : [["returned", `${statusText(status.a)} → ${statusText(status.b)}`]]),
    ...(attempts === undefined ? [] : [["calls of ExitBootServices", `${attempts.a} → ${attempts.b}`]]),
    ...mappings.filter(({ verdict }) => verdict === "different").map(changeRow),
    ...registers.map(({ name, changes }) => [
      printable(name, 40),
      `${controlText(changes.a)} / ${controlText(changes.b)}`,
    ]),
    ...efi.map(({ name, changes }) => [printable(name, 100), `${changes.a} / ${changes.b}`]),
  ];
  return section(`What ${call.from} → ${call.to} changed`, rows, limit, "line");
}

function statusText(status: bigint | undefined): string {
  return status === undefined ? "nothing" : (statusName(status) ?? hex(status));
}

function controlText(change: RegisterChange | undefined): string {
  if (change === undefined) return "unchanged";
  const text = (value: bigint | undefined): string => (value === undefined ? "?" : hex(value));
  return `${text(change.before)} → ${text(change.after)}`;
}

function findingRows({ rule, findings: { a, b } }: FindingAcross): string[][] {
  const row = (name: string, finding: AcrossFinding): string[] => [
    name,
    `${mark(finding)} ${printable(finding.title, 500)}  ${style.quiet(rule)}`,
  ];
  const rows: string[][] = [];
  if (a !== undefined) rows.push(row(b === undefined ? "only a" : "a", a));
  if (b !== undefined) rows.push(row(a === undefined ? "only b" : "b", b));
  return rows;
}

function mark({ severity }: AcrossFinding): string {
  switch (severity) {
    case "error":
      return style.bad("✗");
    case "warning":
      return style.warn("!");
    case "info":
      return style.good("·");
  }
}

/** What was compared and found alike, in a line. */
function sameLines(across: Across): string[] {
  const { images, mappings, mapped, efi, tables, memoryMap, call, findings } = across;
  const same = images.pairs.filter(({ build }) => build === "same");
  const moved = same.filter(({ a, b }) => a.base !== b.base).length;
  const where = moved === 0 ? "" : ` (${moved} elsewhere)`;
  const apart = mapped.some(({ only }) => only.a.length + only.b.length > 0);
  const parts = [
    same.length === 0 ? "" : `${plural(same.length, "image")}${where}`,
    mappings.length === 0 && !apart ? "mappings" : "",
    tables.length > 0 && efi.length === 0 ? "UEFI's tables" : "",
    memoryMap?.types.length === 0 ? "memory map" : "",
    call !== undefined && sameCall(call) ? callText(call) : "",
    findings.same === 0 ? "" : plural(findings.same, "finding"),
  ].filter((part) => part !== "");
  return parts.length === 0 ? [] : [`${style.heading("The same")}  ${parts.join("; ")}`];
}

function sameCall({ status, attempts, mappings, registers, efi }: CallAcross): boolean {
  return (
    status === undefined && attempts === undefined && [mappings, registers, efi].every(({ length }) => length === 0)
  );
}

function callText({ from, to, totals: { a } }: CallAcross): string {
  return `what ${from} → ${to} changed (${plural(a.pages, "page")} of ${plural(a.images, "image")}, ${plural(a.fields, "field")} of UEFI's tables)`;
}

function unmatchedLines(across: Across, all: boolean): string[] {
  const { efi, call, images } = across;
  const fields = efi.filter(({ verdict }) => verdict === "unmatched");
  const changes = (call?.mappings ?? []).filter(({ verdict }) => verdict === "unmatched");
  const only = [...(call?.only.a ?? []), ...(call?.only.b ?? [])];
  const texts = [
    ...unmatchedRegisters(across),
    ...mappingRows(across, "unmatched", all).map((cells) => cells.join("  ")),
    ...(fields.length === 0
      ? []
      : [`${plural(fields.length, "field")} of UEFI's tables: in the same images, whose builds are two`]),
    ...changes.map((change) => `${changeRow(change).join("  ")}: changed by the call in both, in other amounts`),
    ...(only.length === 0
      ? []
      : [`what the call changed of images that only one has: ${namesText(only, SCREEN_ROWS)}`]),
    ...missing(across),
    ...(images.pairs.length === 0 && images.only.a.length + images.only.b.length === 0
      ? ["images: neither capture lists any"]
      : []),
  ];
  const shown = all ? texts : texts.slice(0, SCREEN_ROWS);
  const rest = texts.length - shown.length;
  if (texts.length === 0) return [];
  return [
    style.warn("Not matched  it cannot be told whether these are the same"),
    ...shown.map((text) => `  ${text}`),
    ...(rest > 0 ? [style.quiet(`  … ${rest} more: --all`)] : []),
  ];
}

/** What one of the captures does not hold at all. */
function missing({ memoryMap, tables, points, sides }: Across): string[] {
  const told = new Set(tables.flatMap(({ points: ids }) => ids));
  const without = points.filter((id) => !told.has(id));
  const unread = [...new Set(tables.flatMap((each) => each.unread))];
  const efi = sides.a.capture.efi !== undefined || sides.b.capture.efi !== undefined;
  return [
    ...(memoryMap === undefined && efi ? ["memory maps: not in both captures; RAM is compared without its types"] : []),
    ...(without.length > 0 && efi ? [`UEFI's tables: not in both captures at ${without.join(", ")}`] : []),
    ...(unread.length > 0 ? [`UEFI's tables that could not be read in one of them: ${unread.join(", ")}`] : []),
  ];
}

function coverageLines({ coverage }: Across, limit: number): string[] {
  return (["a", "b"] as const).flatMap((side) => {
    const [first, ...rest] = renderCoverage(coverage[side], limit);
    return first === undefined ? [] : [`${first} in ${side}`, ...rest];
  });
}
