/**
 * What the fault point says: the exception, where it was taken, how the addresses in it translate at each point of the capture.
 *
 * Source: Arm ARM DDI 0487, D1.4 "Exceptions": on an exception to ELx the preferred return address is in ELR_ELx, the syndrome in
 * ESR_ELx, the faulting address of an abort in FAR_ELx, PSTATE in SPSR_ELx. D24.2 HPFAR_EL2: FIPA is IPA[51:12] (bits 43:4) of an abort in stage 2.
 */

import { contextOf } from "../aarch64/context.ts";
import { currentExceptionLevel, hostExtensions } from "../aarch64/machine-state.ts";
import { type DecodedField, decodeFields } from "../aarch64/registers/index.ts";
import { decodeSyndrome, type Syndrome } from "../aarch64/syndrome.ts";
import { Translator } from "../aarch64/translate.ts";
import { type Vector, vectorAt } from "../aarch64/vectors.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import { virt } from "../base/address.ts";
import { bits, bitsNumber } from "../base/bits.ts";
import type { VirtMemory } from "../base/memory.ts";
import { type CodeListing, codeAround, codeRegime } from "../code/index.ts";
import { PointView } from "../diff/point-view.ts";
import { pointPages } from "../snapshot/model.ts";
import type { Names } from "./names.ts";
import type { Place } from "./place.ts";
import type { Study } from "./study.ts";
import { type PointTrace, traceAt } from "./trace.ts";
import { type PointWalk, walksOf } from "./walks.ts";

/** A register that describes the exception, with its fields. */
export interface FaultRegister {
  readonly name: string;
  readonly value: bigint;
  readonly fields: readonly DecodedField[];
}

export interface Fault {
  /** The id of the point. */
  readonly point: string;
  readonly cpu: number;
  /** The Exception level that the exception was taken to. */
  readonly level: number;
  readonly vector: Vector | undefined;
  /** Undefined, as the others are, when the register could not be read. */
  readonly esr: bigint | undefined;
  readonly syndrome: Syndrome | undefined;
  /** SPSR_ELx: the state that the exception was taken from. */
  readonly spsr: FaultRegister | undefined;
  /** HPFAR_EL2 where this exception sets it. */
  readonly hpfar: FaultRegister | undefined;
  /** ELR_ELx: where it happened. */
  readonly pc: Place | undefined;
  /** FAR_ELx; undefined when this exception does not set it. */
  readonly far: Place | undefined;
  readonly linkRegister: Place | undefined;
  readonly pcWalks: readonly PointWalk[];
  /** Of FAR where it is another address than the PC. */
  readonly farWalks: readonly PointWalk[];
  /** Who was running, and the branch that led to where no code can run. */
  readonly trace: PointTrace;
  /** x0 … x30 and sp as the exception found them, those that could be read. */
  readonly general: readonly { readonly name: string; readonly value: bigint }[];
  /** The code around where it happened, around the call that led there, and around the callers; what cannot be read is left out. */
  readonly code: readonly FaultCode[];
}

/** Instructions around `address`. */
export interface FaultCode {
  readonly address: bigint;
  readonly place: Place;
  readonly listing: CodeListing;
  /** What the instructions branch to or take the address of, by their own addresses. */
  readonly targets: ReadonlyMap<bigint, Place>;
}

/** Exception classes that set FAR_ELx: instruction, data, PC alignment and watchpoint (ESR_ELx.EC, D24.2.40). */
const SETS_FAR: ReadonlySet<number> = new Set([0x20, 0x21, 0x22, 0x24, 0x25, 0x34, 0x35]);

const GENERAL: readonly string[] = [...Array.from({ length: 31 }, (_, i) => `x${i}`), "sp"];

/** The fault of a capture; undefined when it has none. */
export async function readFault(study: Omit<Study, "fault" | "attributes">): Promise<Fault | undefined> {
  const { capture, names } = study;
  const point = capture.points.find(({ kind }) => kind === "fault");
  if (point === undefined) return undefined;
  const view = new PointView(capture, point);
  const level = currentExceptionLevel(view.registers) ?? 1;
  const get = (name: string): bigint | undefined => view.registers.get(name);
  const [esr, elr] = [get(`ESR_EL${level}`), get(`ELR_EL${level}`)];
  const far = esr !== undefined && setsFar(esr) ? get(`FAR_EL${level}`) : undefined;
  // First: it learns the source lines that places have.
  const trace = await traceAt(study, view);
  const place = (address: bigint | undefined): Place | undefined =>
    address === undefined ? undefined : names.place(address, view, trace.regime);
  // Of code at a lower Exception level; else of what executes at each point.
  const regime = trace.regime === view.currentRegime ? undefined : trace.regime;
  return {
    point: point.id,
    cpu: point.cpu,
    level,
    vector: vectorAt(get(`VBAR_EL${level}`) ?? 0n, get("pc") ?? 0n),
    esr,
    syndrome: esr === undefined ? undefined : decodeSyndrome(esr),
    spsr: faultRegister(view, `SPSR_EL${level}`),
    hpfar: esr !== undefined && setsHpfar(esr, level) ? faultRegister(view, "HPFAR_EL2") : undefined,
    pc: place(elr),
    far: place(far),
    linkRegister: place(get("x30")),
    pcWalks: elr === undefined ? [] : walksOf(capture, elr, point.cpu, regime),
    farWalks: far === undefined || far === elr ? [] : walksOf(capture, far, point.cpu, regime),
    trace,
    general: GENERAL.flatMap((name) => {
      const value = name === "sp" ? contextOf(view.registers)?.sp : get(name);
      return value === undefined ? [] : [{ name, value }];
    }),
    code: await codeOf(view, trace, names),
  };
}

/** FAR_ELx is not valid for an external abort that is not on a walk when ISS.FnV is set (bit 10 in both layouts). */
function setsFar(esr: bigint): boolean {
  return SETS_FAR.has(bitsNumber(esr, 31, 26)) && !(isAbort(esr) && isExternal(esr) && bits(esr, 10, 10) === 1n);
}

function isAbort(esr: bigint): boolean {
  return [0x20, 0x21, 0x24, 0x25].includes(bitsNumber(esr, 31, 26));
}

function isExternal(esr: bigint): boolean {
  return bitsNumber(esr, 5, 0) === 0x10;
}

/** Aborts from below EL2 whose stage 2 fault is of a translation, access flag or address size, or on a stage 1 walk (bit 7). */
function setsHpfar(esr: bigint, level: number): boolean {
  const fromBelow = [0x20, 0x24].includes(bitsNumber(esr, 31, 26));
  return level === 2 && fromBelow && (bitsNumber(esr, 5, 0) < 0x0c || bits(esr, 7, 7) === 1n);
}

function faultRegister(view: PointView, name: string): FaultRegister | undefined {
  const value = view.registers.get(name);
  if (value === undefined) return undefined;
  return { name, value, fields: decodeFields(name, value, { e2h: hostExtensions(view.registers) }) };
}

/** Instructions shown before and behind the one that matters. */
const SHOWN_AROUND = { before: 6, after: 2 };
const SHOWN_BYTES = 32n;

/** The innermost frames whose code is listed, besides the call that a bad branch was. */
const LISTED_FRAMES = 3;

async function codeOf(view: PointView, { frames, site }: PointTrace, names: Names): Promise<FaultCode[]> {
  const regime = codeRegime(view.registers, view.regimes);
  if (regime === undefined) return [];
  const memory = translatedMemory(new Translator(regime, pointPages(view.point)), view.memory);
  const nameOf = (address: bigint): Place => names.place(address, view, regime.name);
  const places = [frames[0]?.place, site, ...frames.slice(1, LISTED_FRAMES).map(({ place }) => place)];
  const listed: FaultCode[] = [];
  for (const place of places) {
    const near = listed.some(({ address }) => place !== undefined && distance(address, place.address) <= SHOWN_BYTES);
    if (!near) listed.push(...(await codeAt(memory, place, nameOf)));
  }
  return listed;
}

function distance(a: bigint, b: bigint): bigint {
  return a < b ? b - a : a - b;
}

async function codeAt(
  memory: VirtMemory,
  place: Place | undefined,
  nameOf: (address: bigint) => Place,
): Promise<FaultCode[]> {
  if (place === undefined) return [];
  const listing = await codeAround(memory, virt(place.address), SHOWN_AROUND);
  if (listing.instructions.length === 0) return [];
  const targets = new Map<bigint, Place>();
  for (const { address, mnemonic, operands } of listing.instructions) {
    const [, target] = NAMES_ADDRESS.test(mnemonic) ? (/#(0x[0-9a-f]+)$/.exec(operands) ?? []) : [];
    if (target !== undefined) targets.set(address, nameOf(BigInt(target)));
  }
  return [{ address: place.address, place, listing, targets }];
}

/** Instructions whose last operand is an address that the disassembler has worked out. */
const NAMES_ADDRESS = /^(b|bl|b\..*|cbn?z|tbn?z|adr)$/;
