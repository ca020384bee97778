/**
 * Packets for the bare contenders. Written apart from src/rsp, so that the floor does not rest on the code it is held against.
 *
 * Source: "Debugging with GDB", appendix E, E.1 Overview: `$payload#hh`, hh the sum of the payload modulo 256.
 */

const DOLLAR = 0x24;
const HASH = 0x23;

/** One packet; the payload holds nothing that needs an escape. */
export function framed(payload: string): Buffer {
  let sum = 0;
  for (let i = 0; i < payload.length; i++) sum += payload.charCodeAt(i);
  return Buffer.from(`$${payload}#${(sum & 0xff).toString(16).padStart(2, "0")}`, "latin1");
}

/** The `$…#hh` packets in bytes that were sent, without acknowledgements and interrupts. */
export function packetsOf(bytes: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = bytes.indexOf(DOLLAR); at >= 0; at = bytes.indexOf(DOLLAR, at)) {
    const end = bytes.indexOf(HASH, at) + 3;
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return packets;
}

/** How many packets end in these bytes: `#` stands nowhere else (in a payload it is escaped). */
export function countEnds(bytes: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  for (let at = buffer.indexOf(HASH); at >= 0; at = buffer.indexOf(HASH, at + 1)) count++;
  return count;
}
