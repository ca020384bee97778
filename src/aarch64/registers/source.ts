/**
 * Which manual the tables follow, said once for all of them.
 *
 * The document is the Arm Architecture Reference Manual for A-profile architecture, Arm DDI 0487. The tables follow
 * issue M.a: its field names and positions, and its section numbers (which move from issue to issue; the name of the
 * register does not). What that issue has withdrawn is gone here too: the fields of transactional memory (FEAT_TME)
 * and HCR_EL2.MIOCNCE. What later issues have added is not here; `unnamedBits` shows it as bits without a name.
 */

/** The document and its issue, as citations print it. */
export const ARM_ARM = "Arm ARM DDI 0487 M.a";

/** A citation: `armArm("D24.2 SCTLR_EL1")`. */
export function armArm(section: string): string {
  return `${ARM_ARM}, ${section}`;
}
