/** A difference between the mappings of two runs. */
import type { Attributes } from "../../aarch64/attributes.ts";
import type { RegimeName } from "../../aarch64/regime-model.ts";
import type { Content } from "./contents.ts";
import type { Two } from "./side.ts";

/**
 * Whose memory it is. `image`: of one that both captures have, `offset` bytes from its base, null for all of a section. `memory`: RAM of a
 * type, wherever it lies. `address`: what is no RAM of either machine, at the same address. `elsewhere`: what is mapped at another address
 * than its own, by what it leads to.
 */
export type MappingOwner =
  | { readonly kind: "image"; readonly image: string; readonly section: string | null; readonly offset: bigint | null }
  | { readonly kind: "memory" | "elsewhere"; readonly type: string }
  | { readonly kind: "address"; readonly va: bigint };

export interface AcrossContent {
  /** `nowhere`: no memory of the owner is mapped as the other side says. */
  readonly state: Content["state"] | "nowhere";
  readonly attributes: Attributes | null;
  /** In bytes. */
  readonly size: bigint;
}

export interface MappingAcross {
  readonly regimes: Two<RegimeName>;
  readonly owner: MappingOwner;
  readonly sides: Two<AcrossContent>;
  readonly verdict: "different" | "unmatched";
  /** Why it is `unmatched`. */
  readonly why: string | undefined;
}

export type MappingDifference = Omit<MappingAcross, "regimes">;

export function acrossContent(content: Content, pages: number): AcrossContent {
  return {
    state: content.state,
    attributes: content.state === "mapped" ? content.attributes : null,
    size: BigInt(pages) << 12n,
  };
}

export const NOT_KNOWN = "what one of them maps there is not known";
