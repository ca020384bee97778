/** ebscope as a library: guests under a program's control; captures read, compared, taken. */

export { asEbscopeError, EbscopeError, type ErrorCode } from "./base/error.ts";
export { hex } from "./base/hex.ts";
export type { MemoryRead } from "./base/memory.ts";
export type { Registers } from "./base/registers.ts";
export {
  type CaptureEvent,
  type CaptureOptions,
  type CaptureOutcome,
  captureExitBootServices,
} from "./capture/exit-boot-services.ts";
export { captureNow } from "./capture/now.ts";
export type { StudiedBlame } from "./diagnose/blame/studied.ts";
export { type BlameSubject, subjectNamed } from "./diagnose/blame/subject.ts";
export { type Finding, findingsOf } from "./diagnose/findings.ts";
export { type Place, placeName, placeText } from "./diagnose/place.ts";
export { type Study, studyCapture } from "./diagnose/study.ts";
export { type Difference, defaultPoints, diffPoints, findPoint } from "./diff/diff.ts";
export { PointView } from "./diff/point-view.ts";
export { statusName } from "./efi/structures.ts";
export { encodeBlame } from "./encode/blame.ts";
export { encodeDiff } from "./encode/diff.ts";
export { encodeMappings, encodePoint, encodeRegisters } from "./encode/point.ts";
export { type Plan, readPlan } from "./plan/index.ts";
export { parseStubAddress } from "./rsp/transport.ts";
export * from "./session/index.ts";
export type { BlameEvent, BlameRecord } from "./snapshot/blame.ts";
export type { Capture, Point, PointKind } from "./snapshot/model.ts";
export { readCapture, writeCapture } from "./snapshot/store.ts";
export { launchQemu } from "./target/launch.ts";
export { attachQemu } from "./target/qemu.ts";
export type { Target } from "./target/target.ts";
