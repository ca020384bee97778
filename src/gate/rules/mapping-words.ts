/** What rules over mappings say alike. */
import type { Regime, RegimeName } from "../../aarch64/regime-model.ts";
import { hex } from "../../base/hex.ts";
import type { PointView } from "../../diff/point-view.ts";
import { attributesText, type Piece, pieceText, whereOf } from "../pieces.ts";
import type { Complaint } from "../verdict.ts";

/** Whether addresses are not translated, as far as that is known. */
export function isOff({ enabled, undecoded }: Regime): boolean {
  return !enabled && undecoded.length === 0;
}

export function offComplaint(view: PointView, regime: RegimeName, consequence: string): Complaint {
  const { exceptionLevel } = view.regime(regime);
  const register = `SCTLR_EL${exceptionLevel}`;
  const value = view.registers.get(register);
  return {
    message: `translation of ${regime} is off at ${view.point.id}: ${consequence}`,
    where: { point: view.point.id, regime, cpu: view.cpu, register: `${register}.M` },
    evidence: value === undefined ? [] : [`${register} = ${hex(value)}`],
  };
}

/** A register that decides what a mapping permits is not offered by the stub, or could not be read. */
export function permissionUnknown(view: PointView, regime: RegimeName, piece: Piece): Complaint {
  return {
    message: `what ${pieceText(regime, piece)} permits at ${view.point.id} is not known: a register that decides it could not be read`,
    where: whereOf(view, regime, piece),
    evidence: [attributesText(piece)],
  };
}
