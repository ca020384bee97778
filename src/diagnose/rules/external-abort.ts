/**
 * The memory system answered an access, or the read of a descriptor on the way to it, with an error.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, IFSC and DFSC: 0x10 synchronous External abort on the access itself; 0x13 to 0x17 on a translation table walk, at
 * level -1 to 3. QEMU raises them for physical addresses where the machine has nothing, and for devices that refuse.
 */
import { outputPage } from "../../aarch64/descriptor.ts";
import { pageAddress } from "../../aarch64/table-pages.ts";
import type { Walked } from "../../aarch64/translate.ts";
import { type PhysAddr, rangeContains } from "../../base/address.ts";
import { bitsNumber } from "../../base/bits.ts";
import { hex } from "../../base/hex.ts";
import { placeName } from "../place.ts";
import type { Study } from "../study.ts";
import { type Scene, sceneOf, walksTo } from "./abort.ts";
import { DID } from "./bad-access.ts";
import { placeLine, walkLines } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

export function externalAbort({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.abort?.kind !== "external") return undefined;
  const { pc, far, abort, esr } = scene;
  const level = walkLevel(esr);
  const where = far === undefined ? "an address that is not known" : hex(far.address);
  const asked = askedOf(study, scene, level);
  const what =
    level === undefined
      ? "the memory system answered with an error"
      : `the memory system answered the walk with an error, where it read the level ${level} table${asked === undefined ? "" : ` at ${hex(asked)}`}`;
  return {
    severity: "error",
    title: `${placeName(pc)} ${DID[abort.access]} ${where}, and ${what}.`,
    evidence: [
      `at ${placeLine(pc)}`,
      ...walkLines(far === undefined ? [] : walksTo(study, scene, far), scene.codeLevel),
      memoryLine(scene, asked),
    ],
  };
}

/** The level of the table whose read failed; undefined when it was the access itself. */
function walkLevel(esr: bigint): number | undefined {
  const status = bitsNumber(esr, 5, 0);
  return status === 0x10 ? undefined : status - 0x14;
}

/** The physical address that was asked for, by the tables at the fault: of the access, or of the table. */
function askedOf(study: Study, scene: Scene, level: number | undefined): PhysAddr | undefined {
  const { far, fault } = scene;
  const walk = far && walksTo(study, scene, far).find(({ point }) => point === fault.point);
  if (walk === undefined) return undefined;
  const { result } = walk.walked;
  if (level === undefined) return result.mapped === true ? result.pa : undefined;
  // Behind stage 2 the syndrome does not say which stage's table it was.
  return walk.regime.behind === undefined ? tableAt(walk.walked, level, walk.regime.roots) : undefined;
}

/** The table of a level on the way to an address: a walk over the capture may have ended before it. */
function tableAt(
  { steps }: Walked,
  level: number,
  roots: readonly { readonly startLevel: number; readonly table: PhysAddr }[],
): PhysAddr | undefined {
  const there = steps.find((step) => step.level === level);
  if (there !== undefined) return there.table;
  const above = steps.find((step) => step.level === level - 1);
  if (above?.kind === "table") {
    const { descriptor, root } = above;
    return pageAddress(outputPage(Number(descriptor & 0xffff_ffffn), Number(descriptor >> 32n), root.format));
  }
  const [root] = roots;
  return steps.length === 0 && roots.length === 1 && root?.startLevel === level ? root.table : undefined;
}

/** What the capture knows of a physical address: only that it has no RAM or ROM there speaks for nothing being there. */
function memoryLine({ view: { point } }: Scene, address: PhysAddr | undefined): string {
  if (address === undefined) return "which physical address was asked for is not known";
  const range = point.memoryRanges.find((each) => rangeContains(each, address));
  if (range !== undefined) return `the physical address ${hex(address)} is in ${range.kind} ${range.name}`;
  if (point.memoryRanges.length === 0) return `the physical address is ${hex(address)}`;
  return `the machine has no RAM or ROM at the physical address ${hex(address)}: QEMU answers so where nothing is`;
}
