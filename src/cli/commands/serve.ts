/** `ebscope serve`: a bridge in front of guests, for any number of tools at once. */
import { attachGuest, noteEvents } from "../bridge/following.ts";
import { printServing, type ServingFlags, servingJson, startServing } from "../bridge/serving.ts";
import { untilStopped } from "../bridge/stopping.ts";
import { jsonText, printData, progress } from "../output.ts";

export interface ServeFlags extends ServingFlags {
  readonly gdb?: readonly string[];
  readonly run?: boolean;
  readonly json?: boolean;
}

/** Serves until it is stopped; then every guest is as it was found. */
export function serveCommand(flags: ServeFlags): Promise<number> {
  return untilStopped(async (stopping) => {
    // The port first: a guest stands still from the moment it is attached to.
    const serving = await startServing(flags, stopping);
    serving.log.listen(noteEvents);
    const { gdb = [], run = false } = flags;
    for (const address of gdb) await attachGuest(serving.bridge.guests, address, { run }, stopping.signal);
    if (flags.json) printData(jsonText(servingJson(serving)));
    else printServing(serving, flags);
    if (gdb.length === 0) progress("no guest yet: `Target.attach` attaches to one, as does --gdb");
    await stopping.ended();
  });
}
