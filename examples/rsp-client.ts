/** Reads memory of a halted target, then counts with it how often an address is reached: rsp-client.ts ADDRESS MEMORY CODE COUNTER */
import { createHash } from "node:crypto";
import { insertBreakpoint, RspClient, readMemory, removeBreakpoint, signalName } from "ebscope/rsp";

const [address = "localhost:1234", memory = "0", code = "0", counter = "0"] = process.argv.slice(2);
const client = await RspClient.connect(address);
console.log(`${client.initialStop?.kind ?? "halted"}; acknowledging: ${client.ackMode}`);

// A thousand reads are under way at once; each reply says what became of it.
const reads = Array.from({ length: 1000 }, (_, i) => readMemory(BigInt(memory) + BigInt(64 * i), 64));
const pieces = (await client.sendAll(reads)).flatMap((reply) => (reply.kind === "ok" ? [reply.value] : []));
console.log(`${pieces.length} pieces, SHA-256 ${createHash("sha256").update(Buffer.concat(pieces)).digest("hex")}`);

const breakpoint = { type: "software", address: BigInt(code), kind: 4 } as const; // 4: bytes of the instruction
for (let hit = 1; hit <= 5; hit++) {
  const inserted = await client.send(insertBreakpoint(breakpoint));
  if (inserted.kind !== "ok") throw new Error(`Cannot stop at ${code}: ${inserted.kind}`);
  await client.resume();
  const stop = await client.nextStop(AbortSignal.timeout(10_000));
  const word = await client.send(readMemory(BigInt(counter), 8));
  const count = word.kind === "ok" ? Buffer.from(word.value).readBigUInt64LE() : word.kind;
  console.log(`${hit}: ${stop.kind === "signal" ? signalName(stop.signal) : stop.kind}, counter ${count}`);
  await client.send(removeBreakpoint(breakpoint)); // or it would stop here again without getting on
  await client.resume({ kind: "step" });
  await client.nextStop(AbortSignal.timeout(10_000));
}
await client.detach(); // the target goes on
