/** The floor of what stops again and again: a bare socket at the breakpoint of the loop guest, whose own count is held against the stops. */
import type { StubAddress } from "../../src/rsp/transport.ts";
import { BareSocket, type Step } from "./bare-socket.ts";
import { LOOP_ADDRESS } from "./guest.ts";
import { framed } from "./packets.ts";
import type { Contender } from "./race.ts";

/** `stops`: those of a turn, and of the first, which warms up. `steps`: what is sent at each stop. */
export function bareLoop(
  name: string,
  address: StubAddress,
  steps: readonly Step[],
  stops: { readonly turn: number; readonly first: number },
): Contender {
  const turn = async (warmUp: boolean): Promise<number[]> => {
    const count = warmUp ? stops.first : stops.turn;
    const socket = await BareSocket.open(address);
    const at = LOOP_ADDRESS.toString(16);
    await socket.exchange([framed(`Z0,${at},4`), framed("c")]);
    const before = littleEndian(await socket.ask("p0"));
    const times = await socket.repeat(steps, count);
    checkRounds(before, littleEndian(await socket.ask("p0")), count);
    await socket.ask(`z0,${at},4`);
    await socket.close();
    return times;
  };
  return { name, turn };
}

/** Of the guest's count before and after so many stops. */
export function checkRounds(before: bigint, after: bigint, stops: number): void {
  if (after - before !== BigInt(stops)) throw new Error(`${stops} stops, and ${after - before} rounds of the loop`);
}

function littleEndian(digits: string): bigint {
  return Buffer.from(digits, "hex").readBigUInt64LE(0);
}
