/** ebscope as a library: read captures, compare their points, take new ones. */
export { asEbscopeError, EbscopeError, type ErrorCode } from "./base/error.ts";
export {
  type CaptureEvent,
  type CaptureOptions,
  type CaptureOutcome,
  captureExitBootServices,
} from "./capture/exit-boot-services.ts";
export { captureNow } from "./capture/now.ts";
export { type Finding, findingsOf } from "./diagnose/findings.ts";
export { type Difference, defaultPoints, diffPoints, findPoint } from "./diff/diff.ts";
export { PointView } from "./diff/point-view.ts";
export { encodeDiff } from "./encode/diff.ts";
export { encodeMappings, encodePoint, encodeRegisters } from "./encode/point.ts";
export { parseStubAddress } from "./rsp/transport.ts";
export type { Capture, Point, PointKind } from "./snapshot/model.ts";
export { readCapture, writeCapture } from "./snapshot/store.ts";
export { launchQemu } from "./target/launch.ts";
export { attachQemu } from "./target/qemu.ts";
export type { Target } from "./target/target.ts";
