/**
 * How many differences there are between two captures, and how much could not be matched. Images that one alone has are one difference,
 * and so are those of two builds, and the registers that one stub alone offers.
 */
import type { Across } from "./across.ts";
import { isOtherRam } from "./mappings.ts";

export interface AcrossCounts {
  readonly different: number;
  readonly unmatched: number;
}

export function countAcross(across: Across): AcrossCounts {
  const { machine, registers, images, mappings, efi, memoryMap, call, findings, mapped } = across;
  const judged = [...registers, ...mappings, ...efi, ...(call?.mappings ?? [])];
  const count = (verdict: string): number => judged.filter((each) => each.verdict === verdict).length;
  const returned = [call?.status, call?.attempts].filter((each) => each !== undefined);
  const changes = [...(call?.registers ?? []), ...(call?.efi ?? []), ...returned];
  const builds = images.pairs.filter(({ build }) => build === "other");
  const only = [images.only.a, images.only.b, builds].filter(({ length }) => length > 0);
  const others = [machine, offered(across), only, memoryMap?.types ?? [], changes, findings.differences];
  const ram = mapped.flatMap((each) => each.ram).filter(isOtherRam).length;
  const regimes = mapped.reduce((sum, each) => sum + new Set([...each.only.a, ...each.only.b]).size, 0);
  const lost = across.coverage.a.length + across.coverage.b.length;
  const unknown = images.pairs.filter(({ build }) => build === "unknown").length;
  return {
    different: count("different") + others.reduce((sum, list) => sum + list.length, 0) + ram,
    unmatched: count("unmatched") + count("unread") + regimes + lost + unknown,
  };
}

/** One for each stub that has registers of its own. */
function offered({ offered: { a, b } }: Across): readonly unknown[] {
  return [a, b].filter((names) => names.length > 0);
}
