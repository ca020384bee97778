/**
 * AArch64 registers as data: tables of fields, one decoder, classes, and the encodings of System registers.
 *
 * source.ts says which manual and which issue of it the tables follow. Each description cites its section.
 */
export { CONTROL_REGISTERS, isControlRegister } from "./control-writes.ts";
export { decodeField, decodeFields, describeRegister, REGISTER_DESCRIPTIONS, unnamedBits } from "./decode.ts";
export {
  allSystemEncodings,
  encodingNamed,
  encodingOf,
  encodingParts,
  type SystemEncoding,
  systemNameOf,
  systemRegisterName,
} from "./encodings.ts";
export { exceptionClass } from "./exception-classes.ts";
export { faultStatus } from "./fault-status.ts";
export { isMaintenance } from "./maintenance.ts";
export { memoryType } from "./mair.ts";
export { type RegisterClass, registerClass } from "./register-class.ts";
export type {
  DecodedField,
  LayoutCondition,
  RegisterDescription,
  RegisterField,
  RegisterVariant,
} from "./types.ts";
export { writtenRegister } from "./written-register.ts";
