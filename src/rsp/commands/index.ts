/** The packets of the remote protocol as typed commands. */
export * from "./auxv.ts";
export * from "./breakpoints.ts";
export * from "./execution.ts";
export * from "./memory.ts";
export * from "./memory-map.ts";
export * from "./monitor.ts";
export * from "./qemu.ts";
export * from "./queries.ts";
export * from "./registers.ts";
export * from "./signals.ts";
export * from "./thread-id.ts";
export * from "./thread-list.ts";
export * from "./threads.ts";
export * from "./transfer.ts";
export type { Answered, Done, Send } from "./wire.ts";
