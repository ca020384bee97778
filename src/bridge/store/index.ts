/** The folder of a bridge: the log of events and the captures. */
import { join } from "node:path";
import { type DurableCaptureStore, openCaptureStore } from "./capture-store.ts";
import { type DurableEventLog, type EventLogOptions, openEventLog } from "./event-log.ts";

export type { DurableCaptureStore, PruneOptions, PruneResult } from "./capture-store.ts";
export { openCaptureStore } from "./capture-store.ts";
export type { Damage, DurableEventLog, EventLogOptions } from "./event-log.ts";
export { openEventLog } from "./event-log.ts";
export type { Keep } from "./retention.ts";

export interface Store {
  readonly log: DurableEventLog;
  readonly captures: DurableCaptureStore;
}

/** Where the captures of a bridge are in its folder. */
export function capturesFolder(folder: string): string {
  return join(folder, "captures");
}

/** Opens both in the folder of a bridge, which is this bridge's alone until the log is closed. Throws `store-locked` and others. */
export async function openStore(folder: string, options: EventLogOptions = {}): Promise<Store> {
  const log = await openEventLog(join(folder, "events"), options);
  try {
    return { log, captures: await openCaptureStore(capturesFolder(folder), options.now) };
  } catch (error) {
    await log.close();
    throw error;
  }
}
