import { hex } from "../../base/hex.ts";
import type { Capture } from "../../snapshot/model.ts";
import { type Place, placeName, placeText } from "../place.ts";
import { type Facts, UNREAD, type Verdict } from "./rule.ts";

/** The capture has a fault: what the exception says of itself. */
export function guestFaulted({ study: { capture, fault } }: Facts): Verdict | undefined {
  if (fault === undefined) return undefined;
  const { level, syndrome, esr, far, pc, linkRegister } = fault;
  const place = (each: Place | undefined): string => (each === undefined ? UNREAD : placeText(each));
  const what = syndrome?.summary ?? `exception whose ESR_EL${level} ${UNREAD}`;
  return {
    severity: "error",
    title: `The guest faulted ${faultMoment(capture)}: ${what}, at PC ${pc === undefined ? "unknown" : hex(pc.address)}.`,
    evidence: [
      `ESR_EL${level} = ${esr === undefined ? UNREAD : `${hex(esr)}: ${syndrome?.summary}`}`,
      `ELR_EL${level} = ${place(pc)}`,
      ...(far === undefined ? [] : [`FAR_EL${level} = ${place(far)}`]),
      `x30 = ${place(linkRegister)}`,
    ],
  };
}

/** When the fault came, by how the last call of ExitBootServices ended. */
function faultMoment({ attempts }: Capture): string {
  const last = attempts.at(-1);
  if (last === undefined || last.status === 0n) return "after ExitBootServices";
  return last.status === undefined ? "inside ExitBootServices" : "after a failed call of ExitBootServices";
}

/** Another vCPU than the one that called ExitBootServices. */
export function otherVcpuFaulted({ study: { capture, fault } }: Facts): Verdict | undefined {
  const caller = capture.points.findLast(({ kind }) => kind === "before")?.cpu;
  if (fault === undefined || caller === undefined || fault.cpu === caller) return undefined;
  const at = fault.pc === undefined ? "" : ` at ${placeName(fault.pc)}`;
  return {
    severity: "error",
    title: `It is vCPU ${fault.cpu} that faulted, not vCPU ${caller}, which had called ExitBootServices.`,
    evidence: [
      `vCPU ${fault.cpu} took the exception${at}`,
      `its registers and tables may be others than the caller's: \`show FILE registers --at fault --cpu ${fault.cpu}\``,
    ],
  };
}
