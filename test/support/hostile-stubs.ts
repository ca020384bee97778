/**
 * Stubs that mean harm, as scripts of the scripted stub, by name: they run in a process of their own (hostile-server.ts), so that what the
 * client uses is all that is measured beside them. What they do wrong is wrong on the wire; the machine behind them is the usual one.
 */
import type { ErrorCode } from "../../src/base/error.ts";
import { type Answer, frame, raw, reply, type Script, silence } from "./scripted-stub.ts";
import { TARGET_XML } from "./stub-machine.ts";

export interface HostileStub {
  readonly script: () => Script;
  /** Where it is noticed: while attaching, or in the snapshot after it. */
  readonly when: "attach" | "snapshot";
  /** What it may be told as. */
  readonly codes: readonly ErrorCode[];
  /** Part of the message. */
  readonly says?: string;
  /** Bounded by the time for all of the attaching, not by that for one request. */
  readonly slow?: boolean;
}

/** Of one request while these stubs are used, and of the attaching as a whole. */
export const DEADLINE_MS = 400;
export const ATTACH_MS = 1500;

const always = (answer: Answer) => (): Script => ({ answer: () => answer });
const after = (count: number, answer: Answer) => (): Script => ({ answer: (_, i) => (i < count ? undefined : answer) });
const to = (pattern: RegExp, answer: Answer | ((request: string) => Answer)) => (): Script => ({
  answer: (request) => {
    if (!pattern.test(request)) return undefined;
    return typeof answer === "function" ? answer(request) : answer;
  },
});
/** One answer to the first of these requests, silence to those behind it. */
const once = (pattern: RegExp, answer: Answer) => (): Script => {
  let met = false;
  return {
    answer: (request) => {
      if (!met && !pattern.test(request)) return undefined;
      const first = !met;
      met = true;
      return first ? answer : silence;
    },
  };
};
/** `answer` to a request and to all that come after it. */
const from = (pattern: RegExp, answer: Answer) => (): Script => {
  let met = false;
  return {
    answer: (request) => {
      met ||= pattern.test(request);
      return met ? answer : undefined;
    },
  };
};

/** A frame whose payload is raw wire bytes, of which nothing is escaped. */
const wire = (payload: string): string => frame(payload);
const annex = (document: string) => to(/^qXfer/, (request) => pieceOf(document, request));
const DESCRIPTION = /^qXfer/;
const REGISTER = /^p/;
const MEMORY = /^m/;
const MONITOR = /^qRcmd/;

/** A piece of a document, as qXfer wants it. */
function pieceOf(document: string, request: string): Answer {
  const [, at = "", size = ""] = /:([0-9a-f]+),([0-9a-f]+)$/.exec(request) ?? [];
  const start = Number.parseInt(at, 16);
  // Escaping makes a piece longer than the packet; nothing here needs it.
  const end = start + Number.parseInt(size, 16);
  return reply((end < document.length ? "m" : "l") + document.slice(start, end));
}

const ENTITIES = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join("");
const DOCTYPE_BOMB = `<!DOCTYPE target [<!ENTITY l0 "lol">${ENTITIES}]>`;
const register = (i: number): string => `<reg name="r${i}" bitsize="64"/>`;
const registers = (count: number): string => Array.from({ length: count }, (_, i) => register(i)).join("");
const target = (inside: string): string =>
  `<target><architecture>aarch64</architecture><feature name="f">${inside}</feature></target>`;

const MANY = target(registers(4000));

/** 512 vCPUs in one packet. */
function listed(request: string): Answer | undefined {
  if (request === "qsThreadInfo") return reply("l");
  const threads = Array.from({ length: 512 }, (_, i) => (i + 1).toString(16)).join(",");
  return request === "qfThreadInfo" ? reply(`m${threads}`) : undefined;
}

/** A megabyte out of 20 kilobytes, and what would be fifty out of a megabyte. */
const BOMB = `00${"*~".repeat(10_000)}`;
const LARGE_BOMB = `0${"*~".repeat(500_000)}`;

const SILENT: readonly ErrorCode[] = ["stub-silent"];
const BROKEN: readonly ErrorCode[] = ["protocol-error"];
/** Whichever bound is met first. */
const EITHER: readonly ErrorCode[] = ["stub-silent", "protocol-error"];

const attaching = (script: () => Script, codes: readonly ErrorCode[], rest: object = {}): HostileStub => ({
  script,
  codes,
  when: "attach",
  ...rest,
});
const later = (script: () => Script, codes: readonly ErrorCode[], rest: object = {}): HostileStub => ({
  ...attaching(script, codes, rest),
  when: "snapshot",
});

const WHILE_ATTACHING: Readonly<Record<string, HostileStub>> = {
  "is silent from the start": attaching(always(silence), SILENT),
  "is silent after 1 packet": attaching(after(1, silence), SILENT),
  "is silent after 4 packets": attaching(after(4, silence), SILENT),
  "is silent after 9 packets": attaching(after(9, silence), SILENT),
  "acknowledges and is silent": attaching(always(raw("+")), SILENT),
  "sends one byte a second": attaching(always({ kind: "trickle", bytes: `+${wire("OK")}`, everyMs: 1000 }), SILENT),
  "sends one byte a second of its description": attaching(
    to(DESCRIPTION, { kind: "trickle", bytes: `+${wire("l<target/>")}`, everyMs: 1000 }),
    SILENT,
  ),
  "answers each request just before the deadline": attaching(always({ kind: "late", ms: DEADLINE_MS - 100 }), SILENT, {
    slow: true,
    says: "did not answer everything within 1.5 s",
  }),
  "sends an endless packet": attaching(always({ kind: "endless", head: "+$", bytes: "a".repeat(1 << 16) }), EITHER),
  "sends an endless notification": attaching(
    always({ kind: "endless", head: "+%Stop:", bytes: "a".repeat(1 << 16) }),
    EITHER,
  ),
  "sends a run-length bomb": attaching(always(raw(`+${wire(LARGE_BOMB)}`)), BROKEN, { says: "corrupt packet" }),
  "sends run-length bombs in its description": attaching(
    to(DESCRIPTION, raw(`+${wire(`m ${BOMB.slice(1)}`)}`)),
    BROKEN,
    { says: "more than was asked for" },
  ),
  "sends run-length bombs as console output for ever": attaching(
    to(MONITOR, { kind: "endless", head: "+", bytes: wire(`O${BOMB}`) }),
    EITHER,
  ),
  "sends bad checksums always": attaching(always(raw("+$OK#00")), BROKEN, { says: "checksum" }),
  "sends bad checksums in its description": attaching(to(DESCRIPTION, raw("+$l<target/>#00")), BROKEN, {
    says: "checksum",
  }),
  "does not end its description": attaching(to(DESCRIPTION, reply(`m${" ".repeat(4000)}`)), EITHER, { slow: true }),
  "does not end its description, byte by byte": attaching(to(DESCRIPTION, reply("m ")), EITHER, { slow: true }),
  "sends the same piece of its description again and again": attaching(
    to(DESCRIPTION, reply(`m${target(registers(80)).slice(0, 3000)}`)),
    EITHER,
    { slow: true },
  ),
  "sends more of its description than was asked for": attaching(
    to(DESCRIPTION, reply(`l${target(registers(2000))}`)),
    BROKEN,
    { says: "more than was asked for" },
  ),
  "includes one new document in each": attaching(
    to(DESCRIPTION, (request) => {
      const number = Number(/:a(\d+)\.xml:/.exec(request)?.[1] ?? 0);
      return pieceOf(`<target><xi:include href="a${number + 1}.xml"/></target>`, request);
    }),
    BROKEN,
    { says: "too many documents" },
  ),
  "includes two new documents in each": attaching(
    to(DESCRIPTION, (request) => {
      const name = /:([^:]+)\.xml:/.exec(request)?.[1] ?? "";
      const includes = ["0", "1"].map((suffix) => `<xi:include href="${name}${suffix}.xml"/>`).join("");
      return pieceOf(`<target>${includes}</target>`, request);
    }),
    BROKEN,
    { says: "target description" },
  ),
  "describes itself with an entity bomb": attaching(
    annex(`<?xml version="1.0"?>${DOCTYPE_BOMB}<target><architecture>&l9;</architecture></target>`),
    BROKEN,
    { says: "is no XML" },
  ),
  "describes itself with an entity out of a file": attaching(
    annex(
      '<!DOCTYPE target [<!ENTITY f SYSTEM "file:///etc/passwd">]><target><architecture>&f;</architecture></target>',
    ),
    BROKEN,
    { says: "is no XML" },
  ),
  "has 100,000 registers": attaching(annex(target(registers(100_000))), BROKEN, {
    says: "too many registers",
    slow: true,
  }),
  "nests 100,000 elements": attaching(annex(target("<a>".repeat(100_000))), BROKEN, { says: "is no XML", slow: true }),
  "has one attribute of a megabyte": attaching(
    annex(target(`<reg name="${"x".repeat(1 << 20)}" bitsize="64"/>`)),
    BROKEN,
    {
      says: "no usable name",
      slow: true,
    },
  ),
  "lists a million vCPUs in one packet": attaching(to(/^qfThreadInfo/, reply(`m${"1,".repeat(500_000)}1`)), BROKEN, {
    says: "Cannot list the vCPUs",
  }),
  "lists vCPUs without end": attaching(to(/^q[fs]ThreadInfo/, reply("m01,02")), EITHER, { says: "", slow: true }),
  "prints console output for ever": attaching(
    to(MONITOR, { kind: "endless", head: "+", bytes: wire("O41").repeat(1000) }),
    EITHER,
  ),
  "sends notifications for ever": attaching(
    always({ kind: "endless", head: "+", bytes: wire("Stop:T05thread:01;").replace("$", "%").repeat(1000) }),
    SILENT,
  ),
  "sends stops for ever": attaching(
    always({ kind: "endless", head: "", bytes: wire("T05thread:01;").repeat(1000) }),
    EITHER,
  ),
  "closes in the middle of a packet": attaching(always({ kind: "raw-then-close", bytes: "+$T05thr" }), [
    "connection-lost",
  ]),
  "closes in the middle of its description": attaching(
    to(DESCRIPTION, { kind: "raw-then-close", bytes: `+$m${" ".repeat(3000)}` }),
    ["connection-lost"],
  ),
  "answers requests that were never sent, before any is": attaching(
    to(/^qSupported/, raw(`+${wire("PacketSize=1000;qXfer:features:read+")}${wire("OK").repeat(20)}`)),
    BROKEN,
    { says: "a request that was never sent" },
  ),
  "answers for its description twice": attaching(
    to(DESCRIPTION, raw(`+${wire(`l${TARGET_XML["target.xml"]}`).repeat(2)}`)),
    BROKEN,
    { says: "a request that was never sent" },
  ),
  "has 512 vCPUs of 4,000 registers": attaching(
    () => ({ answer: (request) => (DESCRIPTION.test(request) ? pieceOf(MANY, request) : listed(request)) }),
    BROKEN,
    { says: "more than any machine has", slow: true },
  ),
  "prints carriage returns whatever it is asked": attaching(
    to(MONITOR, raw(`+${wire(`O${"0d".repeat(40_000)}`)}${wire("OK")}`)),
    ["stub-unsupported"],
    { says: "info mtree -f" },
  ),
  "prints empty lines for its memory map": attaching(
    to(/^qRcmd,696e666f206d74726565202d66$/, raw(`+${`${wire(`O${"0a".repeat(1000)}`)}`.repeat(30)}${wire("OK")}`)),
    ["stub-unsupported"],
    { says: "info mtree -f" },
  ),
};

const IN_THE_SNAPSHOT: Readonly<Record<string, HostileStub>> = {
  "answers a register with too few digits": later(to(/^p56$/, reply("00000000")), BROKEN, {
    says: "Cannot read the register SCTLR_EL1",
  }),
  "answers a register with too many digits": later(to(/^p21$/, reply("0".repeat(4000))), BROKEN, {
    says: "Cannot read the register cpsr",
  }),
  "falls silent at the registers": later(from(REGISTER, silence), SILENT, { says: "reading x0" }),
  "falls silent in the middle of the registers": later(from(/^p57$/, silence), SILENT, { says: "reading TTBR0_EL1" }),
  "falls silent at the memory": later(from(MEMORY, silence), SILENT),
  "sends one byte of a register a second": later(
    once(REGISTER, { kind: "trickle", bytes: `+${wire("0".repeat(16))}`, everyMs: 1000 }),
    SILENT,
    { says: "reading x0" },
  ),
  "sends one byte of memory a second": later(
    once(MEMORY, { kind: "trickle", bytes: `+${wire("0".repeat(48))}`, everyMs: 1000 }),
    SILENT,
  ),
  "sends an endless packet for a register": later(
    to(REGISTER, { kind: "endless", head: "+$", bytes: "0".repeat(1 << 16) }),
    EITHER,
  ),
  "sends a run-length bomb for memory": later(to(MEMORY, raw(`+${wire(LARGE_BOMB)}`)), BROKEN),
  "sends bad checksums for registers": later(to(REGISTER, raw("+$0000000000000000#01")), BROKEN, { says: "checksum" }),
  "sends bad checksums for memory": later(to(MEMORY, raw("+$00#01")), BROKEN, { says: "checksum" }),
  "prints without end when memory is read": later(
    from(MEMORY, { kind: "endless", head: "+", bytes: wire("O41").repeat(1000) }),
    EITHER,
  ),
  "sends notifications without end when memory is read": later(
    from(MEMORY, { kind: "endless", head: "+", bytes: wire("Stop:T05thread:01;").replace("$", "%").repeat(1000) }),
    SILENT,
  ),
  "closes in the middle of a register": later(to(REGISTER, { kind: "raw-then-close", bytes: "+$0000" }), [
    "connection-lost",
  ]),
  "answers each register twice": later(to(REGISTER, raw(`+${wire("0".repeat(16))}`.repeat(2))), BROKEN),
};

export const HOSTILE_STUBS: Readonly<Record<string, HostileStub>> = { ...WHILE_ATTACHING, ...IN_THE_SNAPSHOT };
