/** The parsers of replies: each takes any bytes, and gives a value or says what is wrong with them. */
import fc from "fast-check";
import type { Command, Reply } from "../../../src/rsp/command.ts";
import * as commands from "../../../src/rsp/commands/index.ts";
import { errorReply, parseStopReply, parseSupported } from "../../../src/rsp/reply.ts";
import { type Count, type Fuzz, fuzz } from "./fuzz.ts";
import { KNOWN_REPLIES, replies } from "./streams.ts";

const THREAD: commands.ThreadId = { process: 1n, thread: 2n };

/** One of each command that is answered. */
const COMMANDS: readonly (() => Command<unknown>)[] = [
  () => commands.haltReason(),
  () => commands.readRegisters([8, 4, 1]),
  () => commands.readRegister(33, 4),
  () => commands.readRegister(33),
  () => commands.readMemory(0, 8),
  () => commands.readMemoryBinary(0, 8),
  () => commands.readMemoryBinary(0, 8, "raw"),
  () => commands.probeBinaryRead(),
  () => commands.writeMemory(0, Uint8Array.of(1)),
  () => commands.insertBreakpoint({ type: "hardware", address: 0, kind: 4 }),
  () => commands.selectThread("g", THREAD),
  () => commands.threadAlive(THREAD),
  () => commands.vContActions(),
  () => commands.currentThread(),
  () => commands.firstThreads(),
  () => commands.threadExtraInfo(THREAD),
  () => commands.askSupported(),
  () => commands.startNoAckMode(),
  () => commands.mustReplyEmpty(),
  () => commands.attachedOrCreated(),
  () => commands.monitorCommand("info version"),
  () => commands.readObjectPiece("features", "target.xml", 0, 16),
  () => commands.qemuSupported(),
  () => commands.singleStepBits(),
  () => commands.singleStepMask(),
  () => commands.physicalMemoryMode(),
];

const KINDS: readonly Reply<unknown>["kind"][] = ["ok", "unsupported", "error", "malformed"];

function decodesAnything([which, reply]: readonly [number, string], count: Count): void {
  const command = (COMMANDS[which] as () => Command<unknown>)();
  const decoded = command.decode(Buffer.from(reply, "latin1"));
  if (!KINDS.includes(decoded.kind)) throw new Error(`a reply of the kind ${decoded.kind}`);
  if (reply === "" && decoded.kind !== "unsupported") throw new Error("the empty reply is no answer");
  if (/^E[0-9a-fA-F]{2}$/.test(reply) && decoded.kind === "ok" && !command.anyBytes)
    throw new Error("an error is no answer");
  if (decoded.kind === "error" || decoded.kind === "malformed") mustBePrintable(decoded.text);
  count(decoded.kind);
}

function mustBePrintable(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
  if (/[\x00-\x1f\x7f-\x9f]/.test(text) || text.length > 1000) throw new Error(`${JSON.stringify(text)} is shown`);
}

/** Bytes of a memory read are never more than asked for, and are those that the digits say. */
function memoryAsTold([length, reply]: readonly [number, string], count: Count): void {
  const decoded = commands.readMemory(0, length).decode(Buffer.from(reply, "latin1"));
  const whole = /^([0-9a-f]{2})+$/i.test(reply) && reply.length <= 2 * length;
  if ((decoded.kind === "ok") !== whole) throw new Error(`${decoded.kind} for ${JSON.stringify(reply)}`);
  if (decoded.kind === "ok" && Buffer.from(decoded.value).toString("hex") !== reply.toLowerCase()) {
    throw new Error(`${JSON.stringify(reply)} was read as ${Buffer.from(decoded.value).toString("hex")}`);
  }
  count(decoded.kind);
}

function stopsAndErrors(reply: string, count: Count): void {
  const stop = parseStopReply(reply);
  if (stop !== undefined && !/^([STWX][0-9a-f]|w[0-9a-f]|N$)/i.test(reply))
    throw new Error(`${stop.kind} out of ${reply}`);
  const error = errorReply(reply);
  if (error !== undefined && !reply.startsWith("E") && !reply.startsWith("e")) throw new Error("an error without E");
  const features = parseSupported(reply);
  for (const [name, value] of features) {
    if (!reply.includes(name) || !reply.includes(value)) throw new Error(`${name} is not in what the stub said`);
  }
  count(stop?.kind ?? (error === undefined ? "neither" : "error"));
}

function threadIds(text: string, count: Count): void {
  const id = commands.parseThreadId(text);
  count(id === undefined ? "none" : "thread");
  if (id === undefined) return;
  const again = commands.parseThreadId(commands.formatThreadId(id));
  if (again === undefined || !commands.sameThread(again, id)) throw new Error(`${text} is not the same again`);
}

function auxiliary([bytes, wordSize]: readonly [Uint8Array, 4 | 8], count: Count): void {
  try {
    const entries = commands.parseAuxiliaryVector(bytes, { wordSize });
    if (entries.length > bytes.length / 8) throw new Error("more entries than there are bytes for");
    for (const { type } of entries) commands.auxiliaryName(type);
    count("ok");
  } catch (error) {
    if ((error as { code?: unknown }).code !== "protocol-error") throw error;
    count("refused");
  }
}

const threadTexts = fc.oneof(
  fc.stringMatching(/^p?-?[0-9a-f]{0,20}(\.-?[0-9a-f]{0,20})?$/),
  fc.constantFrom("0", "-1", "p0.0", "p-1.-1", "p1", "01", "p01.02"),
);
const hexDigits = fc.stringMatching(/^[0-9a-fA-F]{0,24}$/);

export const REPLIES: readonly Fuzz[] = [
  fuzz("replies to any command", 150, fc.tuple(fc.nat(COMMANDS.length - 1), replies), decodesAnything),
  fuzz("replies to m", 40, fc.tuple(fc.integer({ min: 1, max: 12 }), fc.oneof(hexDigits, replies)), memoryAsTold),
  fuzz("stops, errors and features", 80, fc.oneof(replies, fc.constantFrom(...KNOWN_REPLIES)), stopsAndErrors),
  fuzz("thread ids", 20, threadTexts, threadIds),
  fuzz("auxiliary vectors", 10, fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.constantFrom<4 | 8>(4, 8)), auxiliary),
];
