/**
 * What the client says and understands, against real stubs that no one here wrote: handshake, threads, registers, memory, objects. What a stub
 * lacks has to come out as `unsupported`. Running and stopping is in conformance-running.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AckMode,
  ANY_THREAD,
  type Command,
  currentThread,
  haltReason,
  monitorCommand,
  mustReplyEmpty,
  parseAuxiliaryVector,
  parseMemoryMap,
  parseThreadList,
  physicalMemoryMode,
  probeBinaryRead,
  type RegisterValue,
  type Reply,
  readMemory,
  readMemoryBinary,
  readObject,
  readRegister,
  readRegisters,
  selectThread,
  setPhysicalMemoryMode,
  setSingleStepMask,
  singleStepBits,
  singleStepMask,
  threadAlive,
  writeMemory,
  writeMemoryBinary,
  writeRegister,
  writeRegisters,
} from "../../src/rsp/index.ts";
import { KNOWN, TABLE_BYTES, tableBytes } from "../support/conformance/guest.ts";
import { littleEndian, okValue, openSession, type Session } from "../support/conformance/session.ts";
import {
  disposePrograms,
  GDBSERVER,
  LLDB_SERVER,
  programFor,
  QEMU_SYSTEM_7,
  QEMU_SYSTEM_10,
  QEMU_USER,
  type StubKind,
} from "../support/conformance/stubs.ts";
import { witnessAtMark } from "../support/conformance/witness.ts";
import { Random } from "../support/random.ts";

/** What a stub is known to have. */
interface Abilities {
  readonly ackMode: AckMode;
  readonly qemu: "system" | "user" | undefined;
  /** Whether the registers are read, and written, one by one (`p`, `P`). */
  readonly single: boolean;
  /** `g` holds the registers of the description in their order, and at least these. */
  readonly orderedAll: boolean;
  /** `G`. */
  readonly writesAll: boolean;
  readonly binaryRead: boolean;
  readonly binaryWrite: boolean;
  readonly deadThread: "error" | "unsupported";
  readonly objects: readonly string[];
  /** What the answer to a monitor command shows, and the command. */
  readonly monitor: readonly [command: string, shows: RegExp] | undefined;
  readonly physicalMode: boolean;
}

const MACHINE: Abilities = {
  ackMode: "implied",
  qemu: "system",
  single: true,
  orderedAll: true,
  writesAll: true,
  binaryRead: false,
  binaryWrite: false,
  deadThread: "error",
  objects: ["features"],
  monitor: ["info version", /^7\.2\./],
  physicalMode: true,
};

const CASES: readonly (readonly [name: string, kind: StubKind, has: Abilities])[] = (
  [
    [QEMU_SYSTEM_7, MACHINE],
    [QEMU_SYSTEM_10, { ...MACHINE, monitor: ["info version", /^10\.0\./] }],
    [
      QEMU_USER,
      {
        ...MACHINE,
        ackMode: "strict",
        qemu: "user",
        objects: ["features", "auxv"],
        monitor: undefined,
        physicalMode: false,
      },
    ],
    [
      GDBSERVER,
      {
        ackMode: "none",
        qemu: undefined,
        single: false,
        orderedAll: true,
        writesAll: true,
        binaryRead: false,
        binaryWrite: true,
        deadThread: "error",
        objects: ["features", "auxv", "threads"],
        monitor: ["help", /set debug/],
        physicalMode: false,
      },
    ],
    [
      LLDB_SERVER,
      {
        ackMode: "none",
        qemu: undefined,
        single: true,
        orderedAll: false,
        writesAll: false,
        binaryRead: true,
        binaryWrite: false,
        deadThread: "unsupported",
        objects: ["features", "auxv"],
        monitor: undefined,
        physicalMode: false,
      },
    ],
  ] as const
).map(([kind, has]) => [kind.name, kind, has] as const);

/** No guest has anything there. */
const UNMAPPED = [0x10_0000_0000n, 0x7f_ffff_f000n, 0n] as const;

afterAll(disposePrograms);

describe.each(CASES)("%s", (_, kind, has) => {
  const platform = kind.platform;
  let session: Session;
  beforeAll(async () => {
    session = await openSession(kind);
    await session.runTo("mark");
  });
  afterAll(() => session?.[Symbol.asyncDispose]());

  /** The whole of `table`, or the part of it from an address on. */
  const inTable = (offset: number): bigint => session.at("table") + BigInt(offset);
  const kindOf = async (command: Command<unknown>): Promise<Reply<unknown>["kind"]> =>
    (await session.send(command)).kind;

  describe("handshake", () => {
    it(`comes to the acknowledgement mode ${has.ackMode}`, () => {
      expect(session.client.ackMode).toBe(has.ackMode);
    });

    it(has.qemu === undefined ? "is no QEMU" : `is a QEMU (${has.qemu})`, () => {
      expect(session.client.qemu).toBe(has.qemu);
    });

    it("tells a packet size that a read of memory fits in", () => {
      expect(session.client.features.packetSize).toBeGreaterThanOrEqual(1024);
      expect(session.client.features.packetSize).toBeLessThanOrEqual(1 << 20);
    });

    it("says why the target was halted when we came", () => {
      expect(session.client.initialStop).toMatchObject({ kind: "signal" });
    });

    it("says the same kind of thing when it is asked again", async () => {
      expect(await session.ask(haltReason())).toMatchObject({ kind: "signal" });
    });

    it("answers packets that it cannot know with nothing: unsupported", async () => {
      expect(await session.send(mustReplyEmpty())).toEqual({ kind: "unsupported" });
      const unknown = { ...mustReplyEmpty(), payload: "qEbscope.nothing:1,2" };
      expect(await session.send(unknown)).toEqual({ kind: "unsupported" });
    });

    it("sends no stop that nobody asked for", () => {
      expect(session.connection.unsolicited).toEqual([]);
    });
  });

  describe("threads", () => {
    it("lists them, and the current one is among them", async () => {
      const threads = await session.threads();
      expect(threads).toHaveLength(platform === "machine" ? 2 : 1);
      expect(threads).toContainEqual(await session.ask(currentThread()));
    });

    it("takes each of them for registers", async () => {
      for (const thread of await session.threads()) expect(await session.ask(selectThread("g", thread))).toBe("OK");
      await session.send(selectThread("g", (await session.threads())[0] ?? ANY_THREAD));
    });

    it(`calls them alive${has.deadThread === "error" ? ", and another one dead" : ": unsupported"}`, async () => {
      const expected = has.deadThread === "error" ? "ok" : "unsupported";
      for (const thread of await session.threads()) expect(await kindOf(threadAlive(thread))).toBe(expected);
      expect(await kindOf(threadAlive({ process: undefined, thread: 0x7ffffn }))).toBe(has.deadThread);
    });

    it("speaks of processes to those who understand it", async () => {
      await using other = await openSession(kind, { features: ["multiprocess+", "xmlRegisters=i386"] });
      const [first] = await other.threads();
      expect(typeof first?.process).toBe(kind === LLDB_SERVER ? "undefined" : "bigint");
      if (first === undefined) throw new Error("no thread");
      expect(await other.ask(selectThread("g", first))).toBe("OK");
      expect(await other.ask(currentThread())).toEqual(first);
    });
  });

  describe("registers", () => {
    it("have the values that the program put there", async () => {
      const { known, pc } = session.program.architecture;
      expect(known.length).toBeGreaterThan(10);
      const seen = new Map<string, bigint>();
      for (const [name] of known) seen.set(name, await session.register(name));
      expect(seen).toEqual(new Map(known.map(([name, number]) => [name, KNOWN + BigInt(number)])));
      expect(await session.register(pc)).toBe(session.at("mark"));
    });

    it("and memory are what another debugger sees", async () => {
      await using stub = await kind.start(programFor(kind));
      const witness = witnessAtMark(kind, stub, 64);
      const { known, pc, sp } = session.program.architecture;
      for (const name of [...known.map(([each]) => each), pc, sp]) {
        expect(witness.registers.get(name), name).toBe(await session.register(name));
      }
      const bytes = await session.ask(readMemory(session.at("table"), 256));
      expect(witness.words).toHaveLength(64);
      expect([...new Uint32Array(new Uint8Array(bytes).buffer)]).toEqual(witness.words);
    });

    it("are the same in `g` as by `p`", async () => {
      const values = await registersOf(session, has.orderedAll);
      expect(values.size).toBeGreaterThanOrEqual(17);
      const names = [...session.program.architecture.known.map(([name]) => name), session.program.architecture.pc];
      for (const name of names) {
        const number = await session.registerNumber(name);
        const one = await session.send(readRegister(number, 8));
        if (has.single) expect(bytesOf(values.get(name)), name).toBe(bytesOf(okValue(one)));
        else expect(one).toEqual({ kind: "unsupported" });
      }
    });

    it(has.single ? "are written one by one" : "are not written one by one: unsupported", async () => {
      const number = await session.registerNumber(session.program.architecture.free);
      const bytes = Uint8Array.of(0x24, 0x23, 0x7d, 0x2a, 0, 0xff, 1, 2);
      const written = await session.send(writeRegister(number, bytes));
      expect(written).toEqual(has.single ? { kind: "ok", value: "OK" } : { kind: "unsupported" });
      if (has.single) expect(await session.register(session.program.architecture.free)).toBe(littleEndian(bytes));
    });

    it(
      has.writesAll ? "are written all at once, and are as written then" : "are not written all at once: unsupported",
      async () => {
        const { free } = session.program.architecture;
        const all = Buffer.from(await session.raw("g"), "hex");
        if (!has.writesAll) {
          expect(await session.send(writeRegisters(all))).toEqual({ kind: "unsupported" });
          return;
        }
        const old = (await registersOf(session, has.orderedAll)).get(free);
        if (old?.state !== "present") throw new Error(`${free} has no value`);
        all.set([8, 7, 6, 5, 4, 3, 2, 1], all.indexOf(old.bytes));
        expect(await session.ask(writeRegisters(all))).toBe("OK");
        expect(await session.register(free)).toBe(0x0102030405060708n);
        expect(await session.pc()).toBe(session.at("mark"));
      },
    );

    it("that do not exist are an error or unsupported, never a value", async () => {
      expect(["error", "unsupported"]).toContain(await kindOf(readRegister(0xfff0)));
    });
  });

  describe("memory", () => {
    it("is read at any address and length", async () => {
      const random = new Random(1);
      for (let i = 0; i < 100; i++) {
        const length = random.between(1, 300);
        const offset = random.below(TABLE_BYTES - length);
        const bytes = await session.ask(readMemory(inTable(offset), length));
        expect(Buffer.from(bytes)).toEqual(Buffer.from(tableBytes(offset, length)));
      }
    });

    it("is read in pieces as long as the client says", async () => {
      const length = session.client.longestRead;
      expect(length).toBeGreaterThanOrEqual(2048);
      const bytes = await session.ask(readMemory(session.at("table"), length));
      expect(Buffer.from(bytes).equals(tableBytes(0, length))).toBe(true);
    });

    it("is written by `M`, and nothing beside it", async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_unused, i) => i);
      await session.ask(writeMemory(session.at("scratch"), new Uint8Array(512)));
      expect(await session.ask(writeMemory(session.at("scratch") + 101n, bytes))).toBe("OK");
      const all = Buffer.from(await session.ask(readMemory(session.at("scratch"), 512)));
      expect(all).toEqual(Buffer.concat([Buffer.alloc(101), bytes, Buffer.alloc(155)]));
    });

    it(has.binaryWrite ? "is written by `X`, whatever the bytes" : "is not written by `X`: unsupported", async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_unused, i) => 255 - i);
      const written = await session.send(writeMemoryBinary(session.at("scratch"), bytes));
      expect(written).toEqual(has.binaryWrite ? { kind: "ok", value: "OK" } : { kind: "unsupported" });
      if (!has.binaryWrite) return;
      expect(Buffer.from(await session.ask(readMemory(session.at("scratch"), 256)))).toEqual(Buffer.from(bytes));
    });

    it(has.binaryRead ? "is read by `x`, whatever the bytes" : "is not read by `x`: unsupported", async () => {
      const probe = await session.send(probeBinaryRead(session.at("scratch")));
      expect(probe).toEqual(has.binaryRead ? { kind: "ok", value: "raw" } : { kind: "unsupported" });
      if (!has.binaryRead) return;
      // Memory that looks like stops, output, acknowledgements and frames.
      const texts = ["T05thread:1;", "S05", "W00", "X09", "N", "OK", "O4142", "$#00", "}*#+-", "%Stop:T05", "F0", ""];
      for (const text of texts) {
        const bytes = Buffer.from(`${text}\0`.slice(0, Math.max(1, text.length)), "latin1");
        await session.ask(writeMemory(session.at("scratch"), bytes));
        const read = await session.ask(readMemoryBinary(session.at("scratch"), bytes.length, "raw"));
        expect(Buffer.from(read), text).toEqual(bytes);
      }
      expect(session.connection.unsolicited).toEqual([]);
    });

    it("that is not mapped is an error, never data", async () => {
      for (const address of UNMAPPED.filter((each) => platform !== "machine" || each !== 0n)) {
        expect(await kindOf(readMemory(address, 8)), address.toString(16)).toBe("error");
        expect(await kindOf(writeMemory(address, Uint8Array.of(1))), address.toString(16)).toBe("error");
        if (has.binaryRead) expect(await kindOf(readMemoryBinary(address, 8, "raw"))).toBe("error");
      }
    });

    it("that is not mapped does not disturb the reads around it", async () => {
      const addresses = [inTable(0), UNMAPPED[0], inTable(64), UNMAPPED[1], inTable(128)];
      const replies = await session.connection.sendAll(addresses.map((address) => readMemory(address, 16)));
      expect(replies.map((reply) => reply.kind)).toEqual(["ok", "error", "ok", "error", "ok"]);
    });

    it.each(has.ackMode === "strict" ? (["strict"] as const) : (["strict", has.ackMode] as const))(
      "2,000 reads sent at once come back in order, in mode %s",
      async (mode) => {
        await using other = mode === has.ackMode ? undefined : await openSession(kind, { opening: "strict" });
        const { connection } = other ?? session;
        expect(connection.ackMode).toBe(mode);
        const reads = Array.from(
          { length: 2000 },
          (_unused, i) => [(i * 7919) % (TABLE_BYTES - 64), 1 + (i % 61)] as const,
        );
        const commands = reads.map(([offset, length]) => readMemory(inTable(offset), length));
        const replies = await connection.sendAll(commands);
        const wrong = replies.filter((reply, i) => {
          const right = tableBytes(...(reads[i] ?? [0, 1]));
          return reply.kind !== "ok" || !Buffer.from(reply.value).equals(right);
        });
        expect(wrong).toEqual([]);
      },
    );
  });

  describe("objects", () => {
    it("the description names the program counter and the general registers", async () => {
      const { registers } = await session.description();
      const names = registers.map(({ stubName }) => stubName);
      const { pc, sp, known } = session.program.architecture;
      expect(names).toEqual(expect.arrayContaining([pc, sp, ...known.map(([name]) => name)]));
    });

    it(has.objects.includes("auxv") ? "the auxiliary vector is the process's own" : "auxv: unsupported", async () => {
      const reply = await readObject(session.send, "auxv");
      if (!has.objects.includes("auxv")) {
        expect(reply).toEqual({ kind: "unsupported" });
        return;
      }
      const entries = new Map(
        parseAuxiliaryVector(okValue(reply), { wordSize: 8 }).map(({ type, value }) => [type, value]),
      );
      expect(entries.get(6n), "AT_PAGESZ").toBe(4096n);
      expect(entries.get(9n), "AT_ENTRY").toBe(session.at("_start"));
    });

    it(
      has.objects.includes("threads") ? "the thread document lists the same threads" : "threads: unsupported",
      async () => {
        const reply = await readObject(session.send, "threads");
        if (!has.objects.includes("threads")) {
          expect(reply).toEqual({ kind: "unsupported" });
          return;
        }
        const described = parseThreadList(Buffer.from(okValue(reply)).toString());
        expect(described.map(({ id }) => id)).toEqual(await session.threads());
      },
    );

    it("the memory map: unsupported", async () => {
      const reply = await readObject(session.send, "memory-map");
      expect(reply).toEqual({ kind: "unsupported" });
      expect(parseMemoryMap("<memory-map/>")).toEqual([]);
    });

    it("an object or annex that is not there is an error or unsupported", async () => {
      for (const [object, annex] of [
        ["features", "no-such.xml"],
        ["ebscope", ""],
      ] as const) {
        expect(["error", "unsupported"]).toContain((await readObject(session.send, object, annex)).kind);
      }
    });

    it(has.monitor === undefined ? "monitor commands: unsupported" : "runs monitor commands", async () => {
      const [command, shows] = has.monitor ?? ["help", /./];
      const reply = await session.send(monitorCommand(command));
      if (has.monitor === undefined) expect(reply).toEqual({ kind: "unsupported" });
      else expect(okValue(reply).text).toMatch(shows);
    });
  });

  describe("QEMU's own", () => {
    it(has.qemu === undefined ? "single-step mask: unsupported" : "single-step mask is set and read", async () => {
      const bits = await session.send(singleStepBits());
      if (has.qemu === undefined) {
        expect(bits).toEqual({ kind: "unsupported" });
        expect(await kindOf(singleStepMask())).toBe("unsupported");
        expect(await kindOf(setSingleStepMask(1))).toBe("unsupported");
        return;
      }
      expect(Object.fromEntries(okValue(bits))).toEqual({ ENABLE: 1, NOIRQ: 2, NOTIMER: 4 });
      const before = await session.ask(singleStepMask());
      expect(await session.ask(setSingleStepMask(1))).toBe("OK");
      expect(await session.ask(singleStepMask())).toBe(1);
      await session.ask(setSingleStepMask(before));
    });

    it(
      has.physicalMode ? "physical memory mode reads past the translation" : "physical memory mode: unsupported",
      async () => {
        const reply = await session.send(physicalMemoryMode());
        if (!has.physicalMode) {
          expect(reply).toEqual({ kind: "unsupported" });
          expect(await kindOf(setPhysicalMemoryMode(true))).toBe("unsupported");
          return;
        }
        expect(okValue(reply)).toBe(false);
        const unmapped = UNMAPPED[0];
        expect(await kindOf(readMemory(unmapped, 8))).toBe("error");
        await session.ask(setPhysicalMemoryMode(true));
        // There is nothing at that physical address either; QEMU gives zeros then.
        expect(Buffer.from(await session.ask(readMemory(unmapped, 8)))).toEqual(Buffer.alloc(8));
        const bytes = await session.ask(readMemory(session.at("table"), 64));
        expect(Buffer.from(bytes).equals(tableBytes(0, 64))).toBe(true);
        await session.ask(setPhysicalMemoryMode(false));
        expect(await kindOf(readMemory(unmapped, 8))).toBe("error");
      },
    );
  });
});

type Values = ReadonlyMap<string, RegisterValue>;

/** `g` by the names of the registers: in the order of the description, or where lldb's `offset` attributes say. */
function registersOf(session: Session, ordered: boolean): Promise<Values> {
  return ordered ? allByOrder(session) : allByOffset(session);
}

function bytesOf(value: RegisterValue | undefined): string | undefined {
  return value?.state === "present" ? Buffer.from(value.bytes).toString("hex") : undefined;
}

async function allByOrder(session: Session): Promise<Values> {
  const { registers } = await session.description();
  const values = await session.ask(readRegisters(registers.map(({ bits }) => Math.ceil(bits / 8))));
  return new Map(values.map((value, i) => [registers[i]?.stubName ?? "", value] as const));
}

async function allByOffset(session: Session): Promise<Values> {
  const xml = Buffer.from(okValue(await readObject(session.send, "features", "target.xml"))).toString();
  const places = [...xml.matchAll(/<reg name="(\w+)" bitsize="64" regnum="\d+" offset="(\d+)"/g)];
  const all = Buffer.from(await session.raw("g"), "hex");
  return new Map(
    places.map(([, name = "", offset]) => {
      const at = Number(offset);
      return [name, { state: "present", bytes: new Uint8Array(all.subarray(at, at + 8)) }] as const;
    }),
  );
}
