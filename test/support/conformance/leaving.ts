/** What becomes of a guest when the client leaves, told by the guest itself. */
import { closeSync, openSync, readSync } from "node:fs";
import { sleep } from "../live.ts";
import { END, LAST_WORDS } from "./guest.ts";
import type { Session } from "./session.ts";

/**
 * Leaves a guest by `leave`; whether it goes on then, stands still or has ended. It shows that itself: by its counter, seen past the stub, or by
 * its last words.
 */
export async function guestAfter(
  session: Session,
  leave: () => Promise<void>,
): Promise<"goes on" | "stands still" | "ends"> {
  const [process] = session.stub.guests;
  if (process === undefined) {
    await session.set("orders", END);
    await leave();
    if (await session.stub.printed(LAST_WORDS, 1000)) return "goes on";
    return session.stub.guestRuns() ? "stands still" : "ends";
  }
  await leave();
  await sleep(300);
  if (!session.stub.guestRuns()) return "ends";
  const before = wordOfProcess(process, session.at("counter"));
  for (let waited = 0; waited < 1000; waited += 20) {
    if (wordOfProcess(process, session.at("counter")) > before) return "goes on";
    await sleep(20);
  }
  return "stands still";
}

/** Eight bytes of the memory of a process of this machine, as the kernel gives them. */
function wordOfProcess(process: number, address: bigint): bigint {
  const memory = openSync(`/proc/${process}/mem`, "r");
  const bytes = Buffer.alloc(8);
  readSync(memory, bytes, 0, 8, address);
  closeSync(memory);
  return bytes.readBigUInt64LE();
}
