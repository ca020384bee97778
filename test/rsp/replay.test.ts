import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { phys, virt } from "../../src/base/address.ts";
import { EbscopeError } from "../../src/base/error.ts";
import { RecordFile } from "../../src/rsp/record-file.ts";
import { readSession } from "../../src/rsp/recorded-session.ts";
import { ReplayTransport } from "../../src/rsp/replay.ts";
import { TranscriptTap } from "../../src/rsp/transcript.ts";
import { connectTransport, type StubAddress, type Transport } from "../../src/rsp/transport.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import type { Target } from "../../src/target/target.ts";
import { failure } from "../support/failure.ts";
import { frame, startStub } from "../support/scripted-stub.ts";
import { readTranscriptText, temporaryFile, transcriptText } from "../support/transcript-text.ts";

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

/** Someone who talks to a recording. */
class Client {
  received = "";
  /** How the connection ended. */
  ended: { readonly cause: Error | undefined } | undefined;
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
    transport.start({
      data: (chunk) => {
        if (this.ended !== undefined) throw new Error("data after the end");
        this.received += Buffer.from(chunk).toString("latin1");
      },
      closed: (cause) => {
        if (this.ended !== undefined) throw new Error("ended twice");
        this.ended = { cause };
      },
    });
  }

  /** Sends bytes; returns what came since the last call, this answer included. */
  async send(bytes: string): Promise<string> {
    this.#transport.write(Buffer.from(bytes, "latin1"));
    return this.heard();
  }

  /** Sends requests as packets, at once. */
  ask(...requests: readonly string[]): Promise<string> {
    return this.send(requests.map(frame).join(""));
  }

  async heard(): Promise<string> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    const heard = this.received;
    this.received = "";
    return heard;
  }

  get error(): { code?: string; message?: string } {
    return (this.ended?.cause ?? {}) as EbscopeError;
  }
}

function replay(...lines: readonly string[]): Client {
  return new Client(new ReplayTransport(readSession(Buffer.from(transcriptText(...lines), "latin1"), "session.txt")));
}

/** The line of a request, and that of its answer. */
const asked = (request: string): string => `> ${frame(request)}`;
const answered = (reply: string): string => `< +${frame(reply)}`;
const exchange = (request: string, reply: string): string[] => [asked(request), answered(reply)];

describe("a replay", () => {
  it("answers a request as it was answered, in the next turn", async () => {
    const client = replay(...exchange("qC", "QC1"), ...exchange("?", "S05"));
    const answer = client.ask("qC");
    expect(client.received).toBe("");
    expect(await answer).toBe("+$QC1#c5");
    expect(await client.send("+$?#3f")).toBe("+$S05#b8");
    expect(client.ended).toBeUndefined();
  });

  it("answers as damaged, escaped or chatty as the stub was", async () => {
    const client = replay(
      asked("a"),
      "< raw noise",
      "< +$OK#00",
      asked("b"),
      "< +$\\x00}\\x03* #00",
      asked("c1"),
      asked("qRcmd,00"),
      "< +%Stop:x#00$O61#e0$O62#e1",
      "< $OK#9a",
    );
    expect(await client.heard()).toBe("noise");
    expect(await client.ask("a")).toBe("+$OK#00");
    expect(await client.ask("b")).toBe("+$\x00}\x03* #00");
  });

  it("sends first what nobody had asked for", async () => {
    const client = replay(asked("qC"), `< ${frame("T02thread:01;")}`, answered("QC1"));
    expect(await client.heard()).toBe(frame("T02thread:01;"));
    expect(await client.ask("qC")).toBe("+$QC1#c5");
  });

  it("gives a request all that came until the next acknowledgement", async () => {
    const output = ["< +$O61#e0", "< $O62#e1", "< $OK#9a"];
    const client = replay(asked("qRcmd,00"), asked("qC"), ...output, answered("QC1"));
    expect(await client.ask("qC")).toBe("+$QC1#c5");
    expect(await client.ask("qRcmd,00")).toBe("+$O61#e0$O62#e1$OK#9a");
  });

  it("takes requests cut anywhere, and ignores acknowledgements and noise", async () => {
    const client = replay(...exchange("qC", "QC1"), ...exchange("qD", "x"));
    let heard = "";
    for (const char of `++${frame("qC")}noise+-+${frame("qD")}`) heard += await client.send(char);
    expect(heard).toBe(`+$QC1#c5+${frame("x")}`);
  });

  it("answers requests of one halt in whatever order they come", async () => {
    const lines = ["m0,1", "m1,1", "m2,1"].map(asked);
    const client = replay(...lines, answered("00"), answered("01"), answered("02"));
    expect(await client.ask("m2,1", "m0,1")).toBe(`+${frame("02")}+${frame("00")}`);
    expect(await client.ask("m1,1")).toBe(`+${frame("01")}`);
  });

  it("answers the same request in the order of its answers", async () => {
    const client = replay(...exchange("qRcmd,00", "01"), ...exchange("qRcmd,00", "02"));
    expect(await client.ask("qRcmd,00", "qRcmd,00")).toBe(`+${frame("01")}+${frame("02")}`);
  });

  it("answers a read again that came once, but not after a write", async () => {
    const recording = [...exchange("m0,1", "aa"), ...exchange("M0,1:bb", "OK")];
    const client = replay(...recording, "closed here");
    expect(await client.ask("m0,1", "m0,1")).toBe(`+${frame("aa")}+${frame("aa")}`);
    expect(await client.ask("M0,1:bb")).toBe("+$OK#9a");
    expect(await client.ask("m0,1")).toBe("");
    expect(client.error.code).toBe("transcript-diverged");
    const other = replay(...recording, ...exchange("qRcmd,00", "01"), "closed here");
    await other.ask("qRcmd,00", "qRcmd,00");
    expect(other.error.code).toBe("transcript-diverged");
  });

  it("keeps the registers of two threads apart", async () => {
    const client = replay(
      ...["Hg01", "p1", "p2"].flatMap((request) => exchange(request, `1:${request}`)),
      ...["Hg02", "p1"].flatMap((request) => exchange(request, `2:${request}`)),
      "closed here",
    );
    expect(await client.ask("Hg02", "p1")).toBe(`+${frame("2:Hg02")}+${frame("2:p1")}`);
    expect(await client.ask("Hg01", "p1")).toBe(`+${frame("1:Hg01")}+${frame("1:p1")}`);
    await client.ask("Hg02", "p2");
    expect(client.error.code).toBe("transcript-diverged");
  });

  it("keeps physical memory apart from virtual", async () => {
    const client = replay(
      ...exchange("m10,2", "1111"),
      ...exchange("Qqemu.PhyMemMode:1", "OK"),
      ...exchange("m10,2", "2222"),
      ...exchange("Qqemu.PhyMemMode:0", "OK"),
    );
    expect(await client.ask("Qqemu.PhyMemMode:1", "m10,2", "m11,1")).toBe(`+$OK#9a+${frame("2222")}+${frame("22")}`);
    expect(await client.ask("Qqemu.PhyMemMode:0", "m11,1")).toBe(`+$OK#9a+${frame("11")}`);
  });

  it("reads memory in other pieces than it was recorded in, as far as it was", async () => {
    const pieces = [
      ...exchange("m1000,4", "00010203"),
      ...exchange("m1004,4", "04050607"),
      ...exchange("m1006,4", "06070809"),
    ];
    const recording = [...pieces, ...exchange("m2000,4", "E14"), ...exchange("m3000,4", "0001"), "closed here"];
    const client = replay(...recording);
    expect(await client.ask("m1001,8")).toBe(`+${frame("0102030405060708")}`);
    expect(await client.ask("m1000,1")).toBe(`+${frame("00")}`);
    for (const request of ["m1000,b", "mfff,2", "m2000,2", "m3000,1", "m1000,ffffff"]) {
      const beyond = replay(...recording);
      expect(await beyond.ask(request)).toBe("");
      expect(beyond.error.code, request).toBe("transcript-diverged");
    }
  });

  it("does not put memory together in a halt in which it was written", async () => {
    const client = replay(
      ...exchange("m0,2", "0000"),
      ...exchange("M0,2:1111", "OK"),
      ...exchange("m0,2", "1111"),
      "closed here",
    );
    await client.ask("m0,1");
    expect(client.error.code).toBe("transcript-diverged");
  });

  it("reads without acknowledgements where the recording has none", async () => {
    const client = replay(asked("m0,2"), `< ${frame("0011")}`, asked("m2,2"), `< ${frame("2233")}`);
    expect(await client.ask("m2,2")).toBe(frame("2233"));
    expect(await client.ask("m1,2")).toBe(frame("1122"));
  });

  it("knows where a stub stops acknowledging", async () => {
    const client = replay(
      ...exchange("QStartNoAckMode", "OK"),
      "> +",
      asked("qRcmd,00"),
      asked("qC"),
      `< ${frame("O61")}`,
      `< ${frame("OK")}${frame("QC1")}`,
    );
    await client.ask("QStartNoAckMode");
    expect(await client.ask("qC")).toBe(frame("QC1"));
    expect(await client.ask("qRcmd,00")).toBe(frame("O61") + frame("OK"));
  });

  it("gives a damaged packet again when it is asked to", async () => {
    const client = replay(asked("qC"), "< +$QC1#00", "> -", "< $QC1#c5", ...exchange("?", "S05"));
    expect(await client.ask("qC")).toBe("+$QC1#00");
    expect(await client.send("-")).toBe("$QC1#c5");
    expect(await client.send("-")).toBe("");
    expect(await client.ask("?")).toBe("+$S05#b8");
  });

  it("gives what came too much to the request before it", async () => {
    const acknowledged = replay(asked("qC"), "< ++$QC1#c5", ...exchange("?", "S05"));
    expect(await acknowledged.ask("qC")).toBe("++$QC1#c5");
    expect(await acknowledged.ask("?")).toBe("+$S05#b8");
    const plain = replay(asked("qC"), "< $QC1#c5", "< $T02#a6", asked("?"), "< $S05#b8");
    expect(await plain.ask("qC")).toBe("$QC1#c5$T02#a6");
    expect(await plain.ask("?")).toBe("$S05#b8");
  });

  it("ends no sooner than the recording for a request that the stub refused", async () => {
    const client = replay(asked("qC"), "< -");
    expect(await client.ask("qC")).toBe("-");
    expect(client.ended).toBeUndefined();
  });

  it("refuses a request that the stub refused, and takes it when it comes again", async () => {
    const client = replay(asked("qC"), "< -", ...exchange("qC", "QC1"));
    expect(await client.ask("qC")).toBe("-");
    expect(await client.ask("qC")).toBe("+$QC1#c5");
  });
});

describe("a replayed guest", () => {
  const STOP = frame("T05thread:01;");
  const PAUSED = frame("T02thread:01;");

  it("runs up to the stop that came by itself", async () => {
    const client = replay(asked("c"), "< +", `< ${STOP}`, ...exchange("?", "S05"));
    expect(await client.ask("c")).toBe(`+${STOP}`);
    expect(await client.ask("?")).toBe("+$S05#b8");
  });

  it("runs until it is interrupted where it was interrupted", async () => {
    const client = replay(asked("c"), "< +", "> interrupt", `< ${PAUSED}`, ...exchange("qC", "QC1"));
    expect(await client.ask("c")).toBe("+");
    expect(await client.send("+")).toBe("");
    expect(await client.send("\x03")).toBe(PAUSED);
    expect(await client.send("\x03")).toBe("");
    expect(await client.ask("qC")).toBe("+$QC1#c5");
  });

  it("was interrupted before its stub had answered", async () => {
    const client = replay(asked("c"), "> interrupt", `< +${PAUSED}`);
    expect(await client.ask("c")).toBe("");
    expect(await client.send("\x03")).toBe(`+${PAUSED}`);
  });

  it("has no thread selected after it ran", async () => {
    const run = [asked("c"), `< +${STOP}`];
    const client = replay(...exchange("Hg02", "OK"), ...exchange("p1", "02"), ...run, ...exchange("p1", "01"));
    await client.ask("Hg02", "c");
    expect(await client.ask("p1")).toBe(`+${frame("01")}`);
  });

  it("takes no notice of an interrupt when it stands still", async () => {
    const client = replay(asked("c"), `< +${STOP}`, "> interrupt", ...exchange("qC", "QC1"));
    expect(await client.ask("c")).toBe(`+${STOP}`);
    expect(await client.send("\x03")).toBe("");
    expect(await client.ask("qC")).toBe("+$QC1#c5");
  });

  it("sends its output before it stops", async () => {
    const client = replay(asked("vCont;c"), "< +", "< $O61#e0", `< ${STOP}`, asked("vCont;s:01"), `< +${STOP}`);
    expect(await client.ask("vCont;c")).toBe(`+$O61#e0${STOP}`);
    expect(await client.ask("vCont;s:01")).toBe(`+${STOP}`);
  });

  it("answers no request of another halt", async () => {
    const recording = [
      ...exchange("m0,1", "00"),
      asked("c"),
      `< +${STOP}`,
      ...exchange("m0,1", "01"),
      ...exchange("qC", "x"),
    ];
    const early = replay(...recording);
    expect(await early.ask("qC")).toBe("");
    expect(early.error.message).toBe('Cannot replay session.txt any further: at line 2 there is no request "qC"');
    const later = replay(...recording);
    expect(await later.ask("c")).toBe(`+${STOP}`);
    expect(await later.ask("m0,1")).toBe(`+${frame("01")}`);
    const other = replay(...recording);
    expect(await other.ask("vCont;s:01")).toBe("");
    expect(other.error.code).toBe("transcript-diverged");
  });

  it.each(["c", "s", "C05", "S05", "vCont;c", "vCont;s:01;c", "bc", "bs", "D", "D;1", "k", "R00", "vKill;1"])(
    "is another one after %s",
    async (resume) => {
      const client = replay(asked(resume), answered("OK"), ...exchange("m0,1", "01"));
      await client.ask("m0,1");
      expect(client.error.code).toBe("transcript-diverged");
    },
  );
});

describe("the end of a replay", () => {
  it("is where the stub closed the connection", async () => {
    const client = replay(...exchange("qC", "QC1"), asked("?"), "closed by the stub");
    expect(await client.ask("qC")).toBe("+$QC1#c5");
    expect(client.ended).toBeUndefined();
    expect(await client.ask("?")).toBe("");
    expect(client.ended).toEqual({ cause: undefined });
  });

  it("comes after the last answer, with what the system said", async () => {
    const client = replay(...exchange("qC", "QC1"), "closed by the stub: ECONNRESET");
    expect(await client.ask("qC")).toBe("+$QC1#c5");
    expect(client.ended?.cause).toMatchObject({ message: "ECONNRESET", code: "ECONNRESET" });
  });

  it("comes in the middle of a packet, or of a run, if it did", async () => {
    const cut = replay(...exchange("qC", "QC1"), asked("m0,2"), asked("m2,2"), "< +$00", "closed by the stub");
    expect(await cut.ask("qC", "m0,2", "m2,2")).toBe("+$QC1#c5+$00");
    expect(cut.ended).toEqual({ cause: undefined });
    const running = replay(asked("c"), "< +", "closed by the stub");
    expect(await running.ask("c")).toBe("+");
    expect(running.ended).toEqual({ cause: undefined });
    const interrupted = replay(asked("c"), "< +", "> interrupt", "closed by the stub");
    expect(await interrupted.ask("c")).toBe("+");
    expect(interrupted.ended).toBeUndefined();
    await interrupted.send("\x03");
    expect(interrupted.ended).toEqual({ cause: undefined });
  });

  it("comes at once where the stub closed before it was asked anything", async () => {
    const client = replay("< raw SSH-2.0", "closed by the stub");
    expect(await client.heard()).toBe("SSH-2.0");
    expect(client.ended).toEqual({ cause: undefined });
  });

  it("is silence where the stub was silent", async () => {
    const client = replay(...exchange("qC", "QC1"), asked("?"), "closed here");
    expect(await client.ask("qC", "?")).toBe("+$QC1#c5");
    expect(client.ended).toBeUndefined();
  });

  it("names what was asked beyond it", async () => {
    const client = replay(...exchange("qC", "QC1"), "closed here");
    await client.ask("qC");
    expect(client.ended).toBeUndefined();
    await client.ask("\x1b[31m");
    expect(client.error.code).toBe("transcript-diverged");
    expect(client.error.message).toMatch(/^Cannot replay session\.txt any further: it ends before request ".*"$/);
    expect(client.error.message).not.toMatch(/\p{Cc}/u);
  });

  it("is told where the recording was cut", async () => {
    const cases: [lines: string[], requests: string[], heard: string][] = [
      [exchange("qC", "QC1"), ["qC", "?"], "+$QC1#c5"],
      [[...exchange("qC", "QC1"), asked("?"), "< +"], ["qC", "?"], "+$QC1#c5+"],
      [[asked("?"), "< +$S0"], ["?"], "+$S0"],
      [[asked("c"), "< +"], ["c"], "+"],
      [[], ["?"], ""],
    ];
    for (const [lines, requests, heard] of cases) {
      const client = replay(...lines);
      expect(await client.ask(...requests)).toBe(heard);
      expect(client.error.code).toBe("transcript-truncated");
    }
  });

  it("ignores what is written after it", async () => {
    const client = replay(asked("?"), "closed by the stub");
    await client.ask("?");
    expect(await client.ask("?", "qC")).toBe("");
    expect(client.ended).toEqual({ cause: undefined });
  });

  it("is silence for one who has closed it", async () => {
    const transport = new ReplayTransport(
      readSession(Buffer.from(transcriptText(...exchange("qC", "QC1"), "closed by the stub")), "t"),
    );
    const client = new Client(transport);
    transport.write(Buffer.from(frame("qC")));
    await transport.close();
    expect(await client.heard()).toBe("");
    expect(client.ended).toBeUndefined();
  });
});

describe("any session", () => {
  interface Halt {
    /** Answers of requests `q0`, `q1`, …. */
    readonly answers: readonly string[];
    readonly order: readonly number[];
    /** How many requests had been sent when the answers came. */
    readonly ahead: number;
    readonly output: number;
    readonly interrupted: boolean;
  }
  const answer = fc.string({ unit: fc.constantFrom(..."0aZ:;,. "), maxLength: 6 }).map((text) => `q${text}`);
  const halt: fc.Arbitrary<Halt> = fc.array(answer, { maxLength: 8 }).chain((answers) =>
    fc.record({
      answers: fc.constant(answers),
      order: fc.shuffledSubarray(
        answers.map((_, i) => i),
        { minLength: answers.length },
      ),
      ahead: fc.integer({ min: 1, max: 8 }),
      output: fc.integer({ min: 0, max: 2 }),
      interrupted: fc.boolean(),
    }),
  );

  function linesOf({ answers, ahead, output, interrupted }: Halt): string[] {
    const lines: string[] = [];
    for (let at = 0; at < answers.length; at += ahead) {
      const together = answers.slice(at, at + ahead);
      lines.push(`> ${together.map((_, i) => frame(`q${at + i}`)).join("")}`, ...together.map(answered));
    }
    const run = [asked("c"), "< +", ...Array.from({ length: output }, () => "< $O61#e0")];
    return [...lines, ...run, ...(interrupted ? ["> interrupt"] : []), `< ${frame("T05")}`];
  }

  it("asked again in another order gets the same answers and the same stops", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(halt, { maxLength: 5 }), fc.boolean(), async (halts, cut) => {
        const client = replay(...halts.flatMap(linesOf), ...(cut ? [] : ["closed here"]));
        for (const { answers, order, output, interrupted } of halts) {
          const expected = order.map((i) => `+${frame(answers[i] as string)}`).join("");
          expect(await client.ask(...order.map((i) => `q${i}`))).toBe(expected);
          const run = `+${"$O61#e0".repeat(output)}`;
          expect(await client.ask("c")).toBe(interrupted ? run : run + frame("T05"));
          if (interrupted) expect(await client.send("\x03")).toBe(frame("T05"));
        }
        expect(client.ended).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });
});

describe("any transcript", () => {
  const content = fc.constantFrom(
    ...[
      "$qC#b4",
      "$m0,1#fa",
      "$m0,2#fb",
      "$c#63",
      "$?#3f",
      "$D#44",
      "$Hg1#e0",
      "$QStartNoAckMode#b0",
      "$Qqemu.PhyMemMode:1#00",
    ],
    ...[
      "+",
      "++",
      "-",
      "+$OK#9a",
      "+$S05#b8",
      "$00#60",
      "+$E14#aa",
      "$O61#e0",
      "%n:#00",
      "interrupt",
      "raw junk",
      "$cut",
      "$#00",
    ],
  );
  const line = fc.tuple(fc.constantFrom("<", ">"), content).map((parts) => parts.join(" "));
  const end = fc.constantFrom([], ["closed here"], ["closed by the stub"], ["closed by the stub: EPIPE"]);
  const request = fc.oneof(
    content.map((each) => each.replace("interrupt", "\x03")),
    fc.string({ unit: "binary" }),
  );

  it("can be talked to in any way: answers come from it, or the connection ends with an error of its own", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(line), end, fc.array(request), async (lines, closing, requests) => {
        const client = replay(...lines, ...closing);
        let heard = await client.heard();
        for (const each of requests) heard += await client.send(each);
        const cause = client.ended?.cause;
        if (cause instanceof EbscopeError)
          expect(["transcript-diverged", "transcript-truncated"]).toContain(cause.code);
        else if (cause !== undefined) expect(cause.message).toBe("EPIPE");
        const received = readTranscriptText(transcriptText(...lines)).received;
        for (const char of heard) expect(`${received}0+$#6`).toContain(char);
      }),
      { numRuns: 300 },
    );
  });

  it("of a million acknowledgements in a line, or one endless packet, is read within its bounds", () => {
    const read = (text: string) => readSession(Buffer.from(text, "latin1"), "t");
    expect(read(transcriptText(...exchange("?", "S05"), `< ${"+".repeat(1_000_000)}`)).epochs).toHaveLength(1);
    expect(() => read(transcriptText(`< ${"+".repeat(8_000_000)}`))).toThrow(/more than 4000000 packets/);
    expect(() => read(transcriptText(`> ${"+-".repeat(4_000_000)}`))).toThrow(/more than 4000000 packets/);
    expect(read(transcriptText("> $?#3f", `< $${"a".repeat(8 << 20)}`)).epochs).toHaveLength(1);
    expect(
      read(transcriptText("> $?#3f", ...Array.from({ length: 5000 }, () => `< raw ${"$".repeat(1000)}`))).epochs,
    ).toHaveLength(1);
  });
});

describe("an address replay:FILE", () => {
  async function cannotConnect(path: string): Promise<EbscopeError> {
    return failure(connectTransport({ kind: "replay", path }));
  }

  it("says why a file cannot be replayed", async () => {
    using file = temporaryFile();
    expect(await cannotConnect(file.path)).toMatchObject({ code: "file-unreadable" });
    expect(await cannotConnect("/dev/zero")).toMatchObject({ code: "not-a-transcript" });
    writeFileSync(file.path, "\x7fELF\x02\x01\x01");
    expect(await cannotConnect(file.path)).toMatchObject({ code: "not-a-transcript" });
    truncateSync(file.path, 2 ** 30 + 1);
    const large = await cannotConnect(file.path);
    expect(large).toMatchObject({ code: "not-a-transcript" });
    expect(large.message).toMatch(/larger/);
    mkdirSync(`${file.path}.d`);
    expect(await cannotConnect(`${file.path}.d`)).toMatchObject({ code: "file-unreadable" });
  });

  it("ends an attachment with the replay's own error", async () => {
    using file = temporaryFile();
    writeFileSync(file.path, transcriptText(...exchange("qSomething", "x"), "closed here"));
    expect(await failure(attachQemu({ kind: "replay", path: file.path }))).toMatchObject({
      code: "transcript-diverged",
    });
    writeFileSync(file.path, transcriptText());
    expect(await failure(attachQemu({ kind: "replay", path: file.path }))).toMatchObject({
      code: "transcript-truncated",
    });
  });

  /** Everything that is read from a target here, and a run of the guest. */
  async function look(address: StubAddress, record?: string): Promise<unknown> {
    const tap = (path: string) =>
      new TranscriptTap(new RecordFile(path, () => undefined), { createdBy: "tester", address: "here" });
    const target: Target = await attachQemu(
      address,
      record === undefined ? { memory: "rsp" } : { taps: [tap(record)] },
    );
    cleanup.push(() => target.release(false));
    const { info, memory } = target;
    const halted = async (): Promise<unknown> =>
      Promise.all([
        target.readRegisters(info.cpus, info.registers),
        memory.read([{ address: phys(0x4000_0000), length: 10_000 }]),
        memory.read([
          { address: phys(0x4000_1000), length: 4096 },
          { address: phys(0x900_0000), length: 4 },
        ]),
        target.memoryRanges(),
      ]);
    const before = await halted();
    await using _ = await target.insertBreakpoint(virt(0x1234n));
    await target.resume();
    const stop = await target.interrupt();
    const after = await halted();
    await target.release(info.wasRunning);
    return { info, before, stop, after };
  }

  it.each([
    { running: true, packetSize: 0x1000 },
    { running: false, packetSize: 0x4000 },
    { running: false, packetSize: 0x1000, bytewise: true },
  ])("is the same guest as the one that was recorded (%o)", async (options) => {
    using file = temporaryFile();
    const stub = await startStub(options);
    cleanup.push(() => stub.close());
    const live = await look(stub.address, file.path);
    const [session] = stub.sessions;
    const transcript = readTranscriptText(file.bytes().toString("latin1"));
    expect(transcript.sent).toBe(session?.wire);
    expect(transcript.end).toBe("closed here");
    expect(await look({ kind: "replay", path: file.path })).toEqual(live);
  });
});
