/**
 * Why an address does not translate, as ESR_ELx would report it.
 *
 * Source: Arm ARM DDI 0487, D8.15 "Memory aborts" (fault types and their levels).
 */

export interface TranslationFault {
  readonly stage: 1 | 2;
  /** A stage 2 fault that stage 1's access to one of its tables ran into (ESR_ELx.S1PTW). */
  readonly onWalk: boolean;
  readonly kind: "translation" | "address size" | "access flag" | "permission";
  readonly level: number;
}

/** `translation fault, level 3`; `stage 2 permission fault, level 2, on the stage 1 table walk`. */
export function faultText({ stage, onWalk, kind, level }: TranslationFault): string {
  const which = stage === 2 ? "stage 2 " : "";
  return `${which}${kind} fault, level ${level}${onWalk ? ", on the stage 1 table walk" : ""}`;
}
