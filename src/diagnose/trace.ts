/** Who was running at a point: the call chain of a vCPU with a place for each frame, and the branch that led to where no code can run. */
import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { accessText } from "../aarch64/permissions.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { type Translation, Translator } from "../aarch64/translate.ts";
import type { Frame } from "../aarch64/unwind.ts";
import { vectorAt } from "../aarch64/vectors.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { type BranchTrace, callChain, codeRegime } from "../code/index.ts";
import type { PointView } from "../diff/point-view.ts";
import type { EfiTables } from "../efi/tables.ts";
import { type Capture, pointPages } from "../snapshot/model.ts";
import type { Place } from "./place.ts";
import { type CalledService, calledService } from "./service.ts";
import type { Study } from "./study.ts";

export interface PlacedFrame extends Frame {
  /** Of the call in this function; of the pc for the innermost frame. */
  readonly place: Place;
  /** `RO+X`, `RWX`, `not mapped`, `?` where a table is not known: what the page of the place permits (at EL1 and above). */
  readonly access: string;
}

export interface PointTrace {
  readonly point: string;
  readonly cpu: number;
  /** Undefined when it is not known in which regime the code executes: then there are no frames. */
  readonly regime: RegimeName | undefined;
  readonly frames: readonly PlacedFrame[];
  /** Why the chain ends where it does. */
  readonly end: string;
  /** How execution came to where no code can run; undefined where code runs, or when it cannot be told whether it does. */
  readonly branch: BranchTrace | undefined;
  /** The call that the branch is, or that came before it. */
  readonly site: Place | undefined;
  /** The UEFI service that this branch meant to call. */
  readonly service: CalledService | undefined;
}

/** Frames whose source lines are looked up. */
const LINES = 32;

/** The call chain of a point as one of its vCPUs sees it. */
export async function traceAt(
  { capture, names, tables }: Pick<Study, "capture" | "names" | "tables">,
  view: PointView,
): Promise<PointTrace> {
  const shared = { point: view.point.id, cpu: view.cpu };
  const regime = codeRegime(view.registers, view.regimes);
  if (regime === undefined) {
    const end = "the regime that the code executes in is not known";
    return { ...shared, regime, frames: [], end, branch: undefined, site: undefined, service: undefined };
  }
  const functionOf = (address: VirtAddr): VirtAddr | undefined => {
    const start = names.functionOf(address, view, regime.name);
    return start === undefined ? undefined : virt(start);
  };
  const { backtrace, branch: found } = await callChain(
    view.registers,
    regime,
    pointPages(view.point),
    view.memory,
    functionOf,
  );
  const { frames, end } = backtrace;
  // An exception led to a vector that cannot run, no branch: what x30 says is of what went before.
  const branch = frames[0]?.pc === view.registers.get("pc") && isAtVector(view) ? undefined : found;
  const site = siteAddress(branch);
  await names.learnLines(
    [...frames.slice(0, LINES).map(frameAddress), ...(site === undefined ? [] : [site])],
    view,
    regime.name,
  );
  const translator = new Translator(regime, pointPages(view.point));
  return {
    ...shared,
    regime: regime.name,
    frames: frames.map((frame) => ({
      ...frame,
      place: names.place(frameAddress(frame), view, regime.name),
      access: accessOf(translator.translate(frameAddress(frame)).result),
    })),
    end: end.text,
    branch,
    site: site === undefined ? undefined : names.place(site, view, regime.name),
    service: serviceOf(branch, firstTables(capture, tables), tables.get(view.point.id)),
  };
}

/** The innermost frame is looked up by its pc, the others by the call in them. */
function frameAddress({ pc, call }: Frame): VirtAddr {
  return call ?? pc;
}

function siteAddress(branch: BranchTrace | undefined): VirtAddr | undefined {
  return branch?.site.kind === "call" || branch?.site.kind === "later" ? branch.site.address : undefined;
}

function accessOf(result: Translation): string {
  if (result.mapped === null) return "?";
  return result.mapped ? accessText(result.attributes) : "not mapped";
}

function serviceOf(branch: BranchTrace | undefined, before: EfiTables | undefined, now: EfiTables | undefined) {
  return before === undefined || now === undefined ? undefined : calledService(branch, before, now);
}

/** UEFI's tables as the firmware had them: those of the first point. */
export function firstTables(capture: Capture, tables: ReadonlyMap<string, EfiTables>): EfiTables | undefined {
  return tables.get(capture.points[0]?.id ?? "");
}

/** Whether the vCPU stands at a vector in force, as it does at a fault. */
function isAtVector({ registers }: PointView): boolean {
  const base = registers.get(`VBAR_EL${currentExceptionLevel(registers) ?? 1}`);
  const pc = registers.get("pc");
  return base !== undefined && pc !== undefined && vectorAt(base, pc) !== undefined;
}
