/** How stubs differ in what they say of themselves, and in registers and memory. */
import {
  attachedOrCreated,
  monitorCommand,
  probeBinaryRead,
  readMemory,
  readObjectPiece,
  readRegister,
  readRegisters,
  setPhysicalMemoryMode,
  threadExtraInfo,
  writeMemoryBinary,
  writeRegister,
  writeRegisters,
} from "../../../../src/rsp/index.ts";
import { attach, type Session } from "../session.ts";
import { programFor } from "../stubs.ts";
import { type Difference, type Lab, NO, replyTo, stopText, told, WITH_PROCESSES, YES } from "./lab.ts";

export const HANDSHAKE: readonly Difference[] = [
  {
    what: "ways of acknowledging",
    observe: async (lab) => [...new Set(["strict", (await lab.session()).connection.ackMode])].join(", "),
  },
  {
    what: "packet size, in bytes",
    observe: async (lab) => String((await lab.session()).client.features.packetSize ?? NO),
  },
  {
    what: "run-length encoding",
    // `*` stands for itself only behind an escape.
    observe: async (lab) => (/[^}]\*/.test((await lab.session()).received) ? YES : NO),
  },
  {
    what: "process ids with `multiprocess+`",
    observe: (lab) =>
      lab.fresh(async (session) => ((await session.threads())[0]?.process === undefined ? NO : YES), WITH_PROCESSES),
  },
  {
    what: "memory before `?` or `Hg`",
    observe: (lab) =>
      lab.fresh(async (session) => told(await session.send(readMemory(session.at("table"), 4))), {
        opening: "features",
      }),
  },
  {
    what: "`qAttached`",
    observe: async (lab) => {
      const reply = await (await lab.session()).send(attachedOrCreated());
      return reply.kind === "ok" ? reply.value : told(reply);
    },
  },
  { what: "what a session after `D` is told unasked", observe: secondSession },
];

/** `D` lets the target run; whoever comes then halts it, where somebody still listens. */
function secondSession(lab: Lab): Promise<string> {
  return lab.last(async (first) => {
    await first.client.detach();
    const again = await attach(lab.kind, first.stub, { deadlineMs: 1500 }).catch(() => undefined);
    if (again === undefined) return "no session";
    await again.connection.close();
    return again.connection.unsolicited.map(stopText).join(" ") || NO;
  });
}

export const OBJECTS: readonly Difference[] = [
  ...["auxv", "threads"].map((object) => replyTo(`\`qXfer:${object}\``, () => readObjectPiece(object, "", 0, 64))),
  replyTo("`qRcmd`", () => monitorCommand("help")),
  { what: "`qThreadExtraInfo`", observe: async (lab) => extraInfo(await lab.session()) },
  {
    what: "physical memory mode; what `m` reads where nothing is",
    observe: async (lab) => physicalRead(await lab.session()),
  },
];

async function physicalRead(session: Session): Promise<string> {
  const mode = await session.send(setPhysicalMemoryMode(true));
  if (mode.kind !== "ok") return told(mode);
  const reply = await session.send(readMemory(UNMAPPED, 8));
  await session.ask(setPhysicalMemoryMode(false));
  return `yes; ${reply.kind === "ok" && reply.value.every((byte) => byte === 0) ? "zeros" : told(reply)}`;
}

async function extraInfo(session: Session): Promise<string> {
  const [thread] = await session.threads();
  if (thread === undefined) throw new Error("no thread");
  const reply = await session.send(threadExtraInfo(thread));
  return reply.kind === "ok" ? reply.value : told(reply);
}

export const REGISTERS: readonly Difference[] = [
  {
    what: "registers described without `xmlRegisters=`",
    observe: (lab) => lab.fresh(describes, { features: ["swbreak+"] }),
  },
  { what: "`p`", observe: oneRegister },
  { what: "`P`", observe: async (lab) => writtenRegister(await lab.session()) },
  {
    what: "`G`",
    observe: async (lab) => {
      const session = await lab.session();
      return told(await session.send(writeRegisters(Buffer.from(await session.raw("g"), "hex"))));
    },
  },
  { what: "`g` holds, of the registers described", observe: async (lab) => allRegisters(await lab.session()) },
  {
    what: "registers in a stop reply",
    observe: async (lab) => String((await (await lab.session()).step()).registers.size),
  },
];

async function oneRegister(lab: Lab): Promise<string> {
  const before = await lab.fresh((session) => session.send(readRegister(0)));
  const session = await lab.session();
  await session.description();
  const after = await session.send(readRegister(0));
  return before.kind === after.kind ? told(after) : "once target.xml was read";
}

async function describes(session: Session): Promise<string> {
  return (await session.description()).registers.length > 0 ? YES : "none";
}

/** The register that a function may use as it likes is written and read back. */
async function writtenRegister(session: Session): Promise<string> {
  const number = await session.registerNumber(session.program.architecture.free);
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const reply = await session.send(writeRegister(number, bytes));
  if (reply.kind !== "ok") return told(reply);
  const back = await session.ask(readRegister(number));
  return back.state === "present" && Buffer.from(back.bytes).equals(bytes) ? YES : "ignored";
}

async function allRegisters(session: Session): Promise<string> {
  const { registers } = await session.description();
  const reply = await session.send(readRegisters(registers.map(({ bits }) => Math.ceil(bits / 8))));
  if (reply.kind === "malformed") return "another layout";
  if (reply.kind !== "ok") return told(reply);
  return reply.value.length === registers.length ? "all" : `the first ${reply.value.length}`;
}

export const MEMORY: readonly Difference[] = [
  { what: "`m` of one byte more than half the packet size", observe: async (lab) => overHalf(await lab.session()) },
  { what: "`m` of what is not mapped, or ends there", observe: unmapped },
  { what: "`x`", observe: async (lab) => binaryRead(await lab.session()) },
  replyTo("`X`", (session) => writeMemoryBinary(session.at("scratch"), Uint8Array.of(1))),
];

/** Canonical on every processor here, and mapped by no guest. */
export const UNMAPPED = 0x10_0000_0000n;

/** Where the memory of the guest ends: the machine's translation, or the last page of the program. */
function lastMapped({ kind }: Lab): bigint {
  return kind.platform === "machine" ? 0x8000_0000n : (programFor(kind).end + 0xfffn) & ~0xfffn;
}

async function lengthOrError(session: Session, address: bigint, length: number): Promise<string> {
  const reply = await session.send(readMemory(address, length));
  if (reply.kind !== "ok") return told(reply);
  return reply.value.length === length ? YES : `the first ${reply.value.length}`;
}

function overHalf(session: Session): Promise<string> {
  return lengthOrError(session, session.at("table"), session.client.longestRead + 1);
}

async function unmapped(lab: Lab): Promise<string> {
  const session = await lab.session();
  const whole = await lengthOrError(session, UNMAPPED, 8);
  const part = await lengthOrError(session, lastMapped(lab) - 8n, 16);
  return whole === part ? whole : `${whole}, ${part}`;
}

async function binaryRead(session: Session): Promise<string> {
  const reply = await session.send(probeBinaryRead(session.at("table")));
  return reply.kind === "ok" ? reply.value : told(reply);
}
