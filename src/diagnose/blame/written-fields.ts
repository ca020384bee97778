/** What a write to a register changed, field by field. */
import { hostExtensions } from "../../aarch64/machine-state.ts";
import { changedFields, type FieldChange } from "../../diff/registers.ts";
import { type Capture, pointRegisters } from "../../snapshot/model.ts";

export interface WrittenValues {
  readonly cpu: number;
  readonly name: string;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** None where a value is not known. HCR_EL2.E2H at the first point decides how the registers of EL2 are laid out. */
export function writtenFields(capture: Capture, { cpu, name, before, after }: WrittenValues): readonly FieldChange[] {
  const [point] = capture.points;
  if (point === undefined || before === undefined || after === undefined) return [];
  return changedFields(name, before, after, hostExtensions(pointRegisters(capture, point, cpu)));
}
