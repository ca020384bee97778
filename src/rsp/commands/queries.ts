/**
 * What a stub can do, and how the session is set up.
 *
 * Source: "Debugging with GDB", appendix E, General Query Packets (qSupported, QStartNoAckMode, qAttached) and Packets (vMustReplyEmpty).
 *
 * Quirks: QEMU says little (`PacketSize`, `qXfer:features:read+`, `vContSupported+`, `multiprocess+`), keeps the multiprocess extension once any
 * client of the process has asked for it, and has no QStartNoAckMode. Old gdbservers answer packets they do not know with `OK`. lldb-server
 * 14 tells its packet size in decimal (`PacketSize=131072`), where the manual and everyone else has hex.
 */
import { type Command, decodeReply } from "../command.ts";
import { parseSupported } from "../reply.ts";
import { badArgument, type Done, decodeDone, decodeText, hexNumber, smallHex } from "./wire.ts";

/** What qSupported was answered with. */
export interface StubFeatures {
  /** By name: what stands behind `=`, or `+` (supported), `-` (not) or `?` (to be found out). */
  readonly all: ReadonlyMap<string, string>;
  /** The longest payload the stub takes, in bytes, at most `MAX_PACKET_SIZE`; undefined when it says nothing usable. */
  readonly packetSize: number | undefined;
}

/** What the framing accepts as one packet: a stub that takes longer ones gets none. */
export const MAX_PACKET_SIZE = 1 << 20;
/** A read of memory has to fit. */
const MIN_PACKET_SIZE = 32;
const MAX_SUPPORTED_TEXT = 1 << 16;

/** `qSupported`: tells what we support (`multiprocess+`, `xmlRegisters=aarch64`) and asks the same of the stub. */
export function askSupported(ours: readonly string[] = []): Command<StubFeatures> {
  const odd = ours.find((feature) => !/^[\w:.-]+([+-]|=[\w:.,/-]*)$/.test(feature));
  if (odd !== undefined) throw badArgument(`${JSON.stringify(odd)} is no feature`);
  return {
    payload: ours.length === 0 ? "qSupported" : `qSupported:${ours.join(";")}`,
    label: "asking for the stub's features",
    decode: (reply) => decodeText(reply, MAX_SUPPORTED_TEXT, stubFeatures),
  };
}

function stubFeatures(text: string): StubFeatures | undefined {
  const all = parseSupported(text);
  if (all.size === 0) return undefined;
  const told = packetSizeOf(all.get("PacketSize") ?? "");
  return { all, packetSize: told < MIN_PACKET_SIZE ? undefined : Math.min(told, MAX_PACKET_SIZE) };
}

/** In hex, but for what is a round number in decimal only: `131072` is 2^17, and 0x131072 is nobody's size. Zero for what is none. */
function packetSizeOf(text: string): number {
  const size = smallHex(text) ?? 0;
  const decimal = /^[0-9]{4,8}$/.test(text) ? Number(text) : 0;
  return decimal >= 4096 && Number.isInteger(Math.log2(decimal)) ? decimal : size;
}

/** Whether the stub says outright that it has a feature (`name+`, or `name=…`). */
export function hasFeature({ all }: StubFeatures, name: string): boolean {
  const value = all.get(name);
  return value !== undefined && value !== "-" && value !== "?";
}

/** `QStartNoAckMode`: no more `+` and `-` from here on. Its own reply is still acknowledged. */
export function startNoAckMode(): Command<Done> {
  return { payload: "QStartNoAckMode", label: "ending acknowledgements", decode: decodeDone };
}

/** `vMustReplyEmpty`: whether the stub answers what it does not know as it must: `unsupported` is right, anything else shows it does not. */
export function mustReplyEmpty(): Command<never> {
  return {
    payload: "vMustReplyEmpty",
    label: "asking for what no stub has",
    decode: (reply) => decodeReply<never>(reply, () => undefined),
  };
}

/** `qAttached`: whether the process was there before the stub (`attached`) or was started by it (`created`). */
export function attachedOrCreated(process?: bigint | number): Command<"attached" | "created"> {
  return {
    payload: process === undefined ? "qAttached" : `qAttached:${hexNumber(process, "the process")}`,
    label: "asking whether the stub attached to the target",
    decode: (reply) => decodeReply(reply, readAttached),
  };
}

function readAttached(reply: Uint8Array): "attached" | "created" | undefined {
  if (reply.length !== 1) return undefined;
  if (reply[0] === 0x31) return "attached";
  return reply[0] === 0x30 ? "created" : undefined;
}
