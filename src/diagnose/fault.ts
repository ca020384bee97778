/**
 * What the fault point says: the exception, where it was taken, how the addresses in it translate at each point of the capture.
 *
 * Source: Arm ARM DDI 0487, D1.4 "Exceptions": on an exception to ELx the preferred return address is in ELR_ELx, the syndrome in
 * ESR_ELx, the faulting address of an abort in FAR_ELx, PSTATE in SPSR_ELx.
 */

import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { decodeSyndrome, type Syndrome } from "../aarch64/syndrome.ts";
import { Translator } from "../aarch64/translate.ts";
import { type Vector, vectorAt } from "../aarch64/vectors.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import { bitsNumber } from "../base/bits.ts";
import { type CallChain, type CodeListing, callChain, codeAround, codeRegime } from "../code/index.ts";
import { PointView } from "../diff/point-view.ts";
import { imageAt, imageOffsetText, type LoadedImage, sectionAt } from "../efi/images.ts";
import { readEfiTables } from "../efi/tables.ts";
import { type Capture, pointPages } from "../snapshot/model.ts";
import { type CalledService, calledService } from "./service.ts";
import { type PointWalk, walksOf } from "./walks.ts";

/** An address with the image it lies in, if the firmware knows one. */
export interface Place {
  readonly address: bigint;
  /** `DxeCore+0x1234` */
  readonly image: string | undefined;
  /** Whether the capture has a list of images: without one, "in no image" cannot be said. */
  readonly listed: boolean;
  readonly section: string | undefined;
}

export interface Fault {
  readonly cpu: number;
  /** The Exception level that the exception was taken to. */
  readonly level: number;
  readonly vector: Vector | undefined;
  /** Undefined, as the others are, when the register could not be read. */
  readonly esr: bigint | undefined;
  readonly syndrome: Syndrome | undefined;
  /** ELR_ELx: where it happened. */
  readonly pc: Place | undefined;
  /** FAR_ELx; undefined when this exception does not set it. */
  readonly far: bigint | undefined;
  readonly linkRegister: Place | undefined;
  readonly pcWalks: readonly PointWalk[];
  /** Of FAR where it is another address than the PC. */
  readonly farWalks: readonly PointWalk[];
  /** The frames, and the branch that led to where no code can run; undefined when the regime is not known. */
  readonly chain: CallChain | undefined;
  /** The UEFI service that this branch meant to call. */
  readonly service: CalledService | undefined;
  /** The code around where it happened, or around the call that led there; undefined when neither is known. */
  readonly code: FaultCode | undefined;
}

/** Instructions around `address`. */
export interface FaultCode {
  readonly address: bigint;
  readonly listing: CodeListing;
}

/** Exception classes that set FAR_ELx: instruction, data, PC alignment and watchpoint (ESR_ELx.EC, D24.2.40). */
const SETS_FAR: ReadonlySet<number> = new Set([0x20, 0x21, 0x22, 0x24, 0x25, 0x34, 0x35]);

/** The fault of a capture; undefined when it has none. */
export async function readFault(capture: Capture, images: readonly LoadedImage[]): Promise<Fault | undefined> {
  const point = capture.points.find(({ kind }) => kind === "fault");
  if (point === undefined) return undefined;
  const view = new PointView(capture, point);
  const level = currentExceptionLevel(view.registers) ?? 1;
  const get = (name: string): bigint | undefined => view.registers.get(name);
  const esr = get(`ESR_EL${level}`);
  const elr = get(`ELR_EL${level}`);
  const lr = get("x30");
  const chain = await chainAt(view);
  const far = esr !== undefined && SETS_FAR.has(bitsNumber(esr, 31, 26)) ? get(`FAR_EL${level}`) : undefined;
  return {
    cpu: point.cpu,
    level,
    vector: vectorAt(get(`VBAR_EL${level}`) ?? 0n, get("pc") ?? 0n),
    esr,
    syndrome: esr === undefined ? undefined : decodeSyndrome(esr),
    pc: elr === undefined ? undefined : placeOf(images, elr),
    far,
    linkRegister: lr === undefined ? undefined : placeOf(images, lr),
    pcWalks: elr === undefined ? [] : walksOf(capture, elr, point.cpu),
    farWalks: far === undefined || far === elr ? [] : walksOf(capture, far, point.cpu),
    chain,
    service: await serviceOf(capture, view, chain),
    code: await codeOf(view, chain),
  };
}

/** The call chain of a point's vCPU. */
export async function chainAt(view: PointView): Promise<CallChain | undefined> {
  const regime = codeRegime(view.registers, view.regimes);
  return regime === undefined ? undefined : callChain(view.registers, regime, pointPages(view.point), view.memory);
}

/** Instructions shown before and behind the one that matters. */
const SHOWN_AROUND = { before: 6, after: 2 };

async function codeOf(view: PointView, chain: CallChain | undefined): Promise<FaultCode | undefined> {
  const regime = codeRegime(view.registers, view.regimes);
  const [innermost] = chain?.backtrace.frames ?? [];
  const site = chain?.branch?.site;
  const address = site?.kind === "call" || site?.kind === "later" ? site.address : innermost?.pc;
  if (regime === undefined || address === undefined) return undefined;
  const memory = translatedMemory(new Translator(regime, pointPages(view.point)), view.memory);
  return { address, listing: await codeAround(memory, address, SHOWN_AROUND) };
}

async function serviceOf(
  capture: Capture,
  view: PointView,
  chain: CallChain | undefined,
): Promise<CalledService | undefined> {
  const [first] = capture.points;
  if (capture.efi === undefined || first === undefined || chain === undefined) return undefined;
  const before = await readEfiTables(new PointView(capture, first).memory, capture.efi);
  return calledService(chain.branch, before, await readEfiTables(view.memory, capture.efi, before));
}

export function placeOf(images: readonly LoadedImage[], address: bigint): Place {
  const image = imageAt(images, address);
  const listed = images.length > 0;
  if (image === undefined) return { address, image: undefined, listed, section: undefined };
  return { address, image: imageOffsetText(image, address), listed, section: sectionAt(image, address)?.name };
}
