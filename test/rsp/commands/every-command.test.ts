/** What holds for every command, whatever the stub answers. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Command, Reply } from "../../../src/rsp/command.ts";
import * as commands from "../../../src/rsp/commands/index.ts";

const P1_1 = { process: 1n, thread: 1n };

const isBytes = (value: unknown): boolean => value instanceof Uint8Array;
const isDone = (value: unknown): boolean => value === "OK";
const isText = (value: unknown): boolean => typeof value === "string" && !hasControls(value);
const isThread = (value: unknown): boolean => {
  const { process, thread } = value as commands.ThreadId;
  return isPart(thread) && (process === undefined || isPart(process)) && (process !== "all" || thread === "all");
};

function isPart(part: unknown): boolean {
  return part === "any" || part === "all" || (typeof part === "bigint" && part > 0n && part < 1n << 64n);
}

function hasControls(text: string): boolean {
  return [...text].some((char) => char !== "\n" && char !== "\t" && (char < " " || (char >= "\x7f" && char < "\xa0")));
}

function isStop(value: unknown): boolean {
  const stop = value as { kind: string; signal?: unknown; status?: unknown };
  if (stop.kind === "no-resumed") return true;
  const number = stop.kind === "signal" || stop.kind === "terminated" ? stop.signal : stop.status;
  return ["signal", "terminated", "exited", "thread-exited"].includes(stop.kind) && Number.isSafeInteger(number);
}

function isRegister(value: unknown, size: number): boolean {
  const register = value as commands.RegisterValue;
  return register.state === "unavailable" || (register.state === "present" && register.bytes.length === size);
}

/** Each command, and whether a value is one that it may give. */
const EVERY: readonly (readonly [name: string, build: () => Command<unknown>, fits: (value: unknown) => boolean])[] = [
  ["?", () => commands.haltReason(), isStop],
  [
    "g",
    () => commands.readRegisters([1, 2]),
    (v) => (v as unknown[]).length <= 2 && (v as unknown[]).every((each, i) => isRegister(each, i + 1)),
  ],
  ["G", () => commands.writeRegisters(Uint8Array.of(1)), isDone],
  ["p", () => commands.readRegister(1, 2), (v) => isRegister(v, 2)],
  ["P", () => commands.writeRegister(1, Uint8Array.of(1)), isDone],
  ["m", () => commands.readMemory(0n, 4), (v) => isBytes(v) && inRange((v as Uint8Array).length, 1, 4)],
  ["M", () => commands.writeMemory(0n, Uint8Array.of(1)), isDone],
  ["x", () => commands.readMemoryBinary(0n, 4), (v) => isBytes(v) && inRange((v as Uint8Array).length, 0, 4)],
  [
    "x raw",
    () => commands.readMemoryBinary(0n, 4, "raw"),
    (v) => isBytes(v) && inRange((v as Uint8Array).length, 1, 4),
  ],
  ["x probe", () => commands.probeBinaryRead(), (v) => v === "raw" || v === "prefixed"],
  ["X", () => commands.writeMemoryBinary(0n, Uint8Array.of(1)), isDone],
  ["Z", () => commands.insertBreakpoint({ type: "software", address: 0n, kind: 4 }), isDone],
  ["z", () => commands.removeBreakpoint({ type: "access", address: 0n, kind: 4 }), isDone],
  ["H", () => commands.selectThread("g", P1_1), isDone],
  ["T", () => commands.threadAlive(P1_1), isDone],
  ["D", () => commands.detach(), isDone],
  ["vKill", () => commands.killProcess(1), isDone],
  ["vCont?", () => commands.vContActions(), (v) => [...(v as Set<string>)].every((each) => /^\w+$/.test(each))],
  ["qC", () => commands.currentThread(), isThread],
  ["qfThreadInfo", () => commands.firstThreads(), isThreadPiece],
  ["qsThreadInfo", () => commands.nextThreads(), isThreadPiece],
  ["qThreadExtraInfo", () => commands.threadExtraInfo(P1_1), isText],
  ["qSupported", () => commands.askSupported(), (v) => (v as commands.StubFeatures).all.size > 0],
  ["QStartNoAckMode", () => commands.startNoAckMode(), isDone],
  ["vMustReplyEmpty", () => commands.mustReplyEmpty(), () => false],
  ["qAttached", () => commands.attachedOrCreated(), (v) => v === "attached" || v === "created"],
  ["qRcmd", () => commands.monitorCommand("x"), (v) => isText((v as commands.MonitorOutput).text)],
  [
    "qXfer",
    () => commands.readObjectPiece("auxv", "", 0, 4),
    (v) => inRange((v as commands.ObjectPiece).bytes.length, (v as commands.ObjectPiece).last ? 0 : 1, 4),
  ],
  ["qqemu.Supported", () => commands.qemuSupported(), (v) => (v as Set<string>).size > 0],
  [
    "qqemu.sstepbits",
    () => commands.singleStepBits(),
    (v) => [...(v as Map<string, number>).values()].every(Number.isSafeInteger),
  ],
  ["qqemu.sstep", () => commands.singleStepMask(), Number.isSafeInteger],
  ["Qqemu.sstep", () => commands.setSingleStepMask(1), isDone],
  ["qqemu.PhyMemMode", () => commands.physicalMemoryMode(), (v) => typeof v === "boolean"],
  ["Qqemu.PhyMemMode", () => commands.setPhysicalMemoryMode(true), isDone],
];

function isThreadPiece(value: unknown): boolean {
  const piece = value as commands.ThreadListPiece;
  return piece.kind === "end" || (piece.threads.length > 0 && piece.threads.every(isThread));
}

function inRange(value: number, low: number, high: number): boolean {
  return value >= low && value <= high;
}

const wire = (text: string): Buffer => Buffer.from(text, "latin1");

/** Replies of stubs, whole, cut, joined and with bytes changed, and plain noise. */
const LIKELY =
  "OK E01 E.x m l b QC1 QCp1.1 m1,2 mp1.1 S05 T05thread:p1.1;core:0; W00 X9;process:1 w0;p1.1 N vCont;c;s xxxx xx00 00 0001 00010203 1 0 0x7 ENABLE=1,NOIRQ=2 sstep;sstepbits PacketSize=1000;a+;b-;c? 411b5b4a mabcd labcd".split(
    " ",
  );
const likely = fc.array(fc.oneof(fc.constantFrom(...LIKELY), fc.string({ maxLength: 3, unit: "binary-ascii" })), {
  minLength: 1,
  maxLength: 3,
});
const reply = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  likely.map((parts) => wire(parts.join(""))),
  fc.tuple(fc.constantFrom(...LIKELY), fc.nat(40), fc.nat(255)).map(([text, at, byte]) => {
    const bytes = wire(text);
    if (at < bytes.length) bytes[at] = byte;
    return bytes;
  }),
);

function isReply(read: Reply<unknown>): boolean {
  switch (read.kind) {
    case "ok":
      return read.value !== undefined;
    case "unsupported":
      return true;
    case "error":
      return (read.code === undefined || inRange(read.code, 0, 255)) && read.text.length <= 400;
    case "malformed":
      return read.text.length <= 400 && !hasControls(read.text);
  }
}

describe.each(EVERY)("%s", (_, build, fits) => {
  it("reads any reply as one of its typed kinds, and never throws", () => {
    fc.assert(
      fc.property(reply, fc.array(fc.string({ maxLength: 6 }), { maxLength: 3 }), (bytes, outputs) => {
        const command = build();
        for (const output of outputs) command.onOutput?.(output);
        const read = command.decode(bytes);
        expect(isReply(read)).toBe(true);
        if (read.kind === "ok") expect(fits(read.value)).toBe(true);
        if (bytes.length === 0) expect(read.kind).toBe("unsupported");
      }),
      { numRuns: 400 },
    );
  });

  it("reads the empty reply as unsupported, ENN as an error, a megabyte of noise as no value", () => {
    expect(build().decode(new Uint8Array())).toEqual({ kind: "unsupported" });
    expect(build().decode(wire("E7f"))).toEqual({ kind: "error", code: 0x7f, text: "E7f" });
    const noise = Buffer.alloc(1 << 20, "\xff;,:T=m", "latin1");
    expect(build().decode(noise).kind).toBe("malformed");
  });

  it("says what it does, and goes out as it was built", () => {
    const { label, payload } = build();
    expect(typeof label === "function" ? label() : label).toMatch(/^[\w ]{3,}/);
    expect(payload.length).toBeGreaterThan(0);
  });
});

describe("the property", () => {
  it("is tried on values of every command that can have one", () => {
    const seen = new Set<string>();
    const sample = fc.sample(reply, { numRuns: 20_000, seed: 1 });
    for (const [name, build] of EVERY) {
      if (sample.some((bytes) => build().decode(bytes).kind === "ok")) seen.add(name);
    }
    expect(EVERY.map(([name]) => name).filter((name) => !seen.has(name))).toEqual(["vMustReplyEmpty"]);
  });
});
