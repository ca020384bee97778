import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { RecordFile } from "../../src/rsp/record-file.ts";
import { Splitter } from "../../src/rsp/splitter.ts";
import type { Direction, TapEnd } from "../../src/rsp/tap.ts";
import { TranscriptTap } from "../../src/rsp/transcript.ts";
import { readTranscript } from "../../src/rsp/transcript-format.ts";
import { readTranscriptText, temporaryFile, transcriptText } from "../support/transcript-text.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const text = (data: Uint8Array): string => Buffer.from(data).toString("latin1");

type Chunk = readonly [direction: Direction, bytes: string];

/** What a session of these chunks is written as. */
function recorded(chunks: readonly Chunk[], end?: TapEnd): string {
  using file = temporaryFile();
  const record = new RecordFile(file.path, (error) => {
    throw error;
  });
  const tap = new TranscriptTap(record, { createdBy: "tester 1", address: "host:1", options: "capture --watch 5" });
  for (const [direction, chunk] of chunks) {
    // Borrowed: whoever lends it writes into it again.
    const lent = bytes(chunk);
    tap.bytes(direction, lent, performance.now());
    lent.fill(0xee);
  }
  if (end === undefined) record.close();
  else tap.ended(end, performance.now());
  return file.bytes().toString("latin1");
}

/** The lines after the comments, without their times. */
function lines(transcript: string): string[] {
  const all = transcript.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return all.map((line) => line.replace(/^\S+ /, ""));
}

const CLOSED_HERE: TapEnd = { by: "client" };

describe("a transcript", () => {
  it("begins with the format, the time, who wrote it, the address and the options", () => {
    const before = Date.now();
    const { comments } = readTranscriptText(recorded([], CLOSED_HERE));
    const [, time = "", rest] = /^(\S+), (.*)$/.exec(comments[0] ?? "") ?? [];
    expect(rest).toBe("tester 1, host:1");
    expect(Date.parse(time)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(time)).toBeLessThanOrEqual(Date.now());
    expect(time).toMatch(/Z$/);
    expect(comments[1]).toBe("capture --watch 5");
  });

  it("has one packet a line, a single acknowledgement with the packet that it came with", () => {
    const transcript = recorded([
      ["sent", "$qC#b4"],
      ["received", "+$QC1#c5$O61#e0%Stop:1#f0"],
      ["sent", "+"],
      ["sent", "++$m0,1#fa$m1,1#fb"],
      ["sent", "\x03"],
    ]);
    expect(lines(transcript)).toEqual([
      "> $qC#b4",
      "< +$QC1#c5",
      "< $O61#e0",
      "< %Stop:1#f0",
      "> +",
      "> ++",
      "> $m0,1#fa",
      "> $m1,1#fb",
      "> interrupt",
    ]);
  });

  it("puts a packet together that came in pieces, and writes what lacks its end when the session ends", () => {
    const chunks: Chunk[] = [..."$OK#9a$T0"].map((char) => ["received", char] as const);
    chunks.splice(4, 0, ["sent", "$q"]);
    expect(lines(recorded(chunks, CLOSED_HERE))).toEqual(["< $OK#9a", "> $q", "< $T0", "closed here"]);
  });

  it("keeps a packet as damaged as it was", () => {
    expect(lines(recorded([["received", "$OK#00$a$b#zz-"]]))).toEqual(["< $OK#00", "< $a$b#zz", "< -"]);
  });

  it.each([
    ["\x00\x1f ~\x7f\x80\xff\\", "$\\x00\\x1f ~\\x7f\\x80\\xff\\x5c#00"],
    ["a\r\nb\tc", "$a\\x0d\\x0ab\\x09c#00"],
  ])("shows %j in a packet as text with escapes", (payload, shown) => {
    expect(lines(recorded([["received", `$${payload}#00`]]))).toEqual([`< ${shown}`]);
  });

  it("marks bytes that begin no packet, whatever words they look like", () => {
    expect(lines(recorded([["received", "interrupt"]]))).toEqual(["< raw interrupt"]);
    expect(lines(recorded([["received", "HTTP/1.1 400 Bad\r\n"]]))).toEqual(["< raw HTTP/1.1 400 Bad\\x0d\\x0a"]);
    expect(lines(recorded([["received", "raw "]]))).toEqual(["< raw raw\\x20"]);
    expect(lines(recorded([["received", "\\ "]]))).toEqual(["< raw \\x5c\\x20"]);
    expect(lines(recorded([["received", "# x"]]))).toEqual(["< raw # x"]);
  });

  it("tells who ended the connection, and what the system said", () => {
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect(lines(recorded([], CLOSED_HERE))).toEqual(["closed here"]);
    expect(lines(recorded([], { by: "stub", cause: undefined }))).toEqual(["closed by the stub"]);
    expect(lines(recorded([], { by: "stub", cause: reset }))).toEqual(["closed by the stub: ECONNRESET"]);
    expect(lines(recorded([], { by: "stub", cause: new Error("a\nb … c") }))).toEqual([
      "closed by the stub: a\\x0ab ? c",
    ]);
    expect(lines(recorded([], { by: "stub", cause: new Error("") }))).toEqual(["closed by the stub"]);
  });

  it("has times in seconds from its beginning, none before the one above it", async () => {
    using file = temporaryFile();
    const tap = new TranscriptTap(new RecordFile(file.path, () => undefined), { createdBy: "", address: "" });
    const began = performance.now();
    for (const later of [0, 1.5, 1.5, 61_000.25]) tap.bytes("sent", bytes("+"), began + later);
    tap.ended(CLOSED_HERE, began + 3_600_000);
    const { times } = readTranscriptText(file.bytes().toString("latin1"));
    expect(times[1]).toBeCloseTo((times[0] ?? 0) + 0.0015, 6);
    expect(times[3]).toBeCloseTo((times[0] ?? 0) + 61.00025, 6);
    expect(times[4]).toBeCloseTo((times[0] ?? 0) + 3600, 6);
    expect(times[0]).toBeLessThan(5);
  });
});

/** Bytes among which those of the protocol, and those that have to be escaped, are frequent. */
const anyBytes = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(..."$$##+-%\x03\\ \n\r}*0aOK") },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) },
      {
        weight: 1,
        arbitrary: fc.constantFrom("$OK#9a", "+$T05thread:01;#07", "$m40000000,1000#2d", "interrupt", "raw "),
      },
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(""));

const anyChunks = fc.array(
  fc
    .tuple(fc.constantFrom<Direction>("sent", "received"), anyBytes)
    .map(([direction, chunk]): Chunk => [direction, chunk]),
  { maxLength: 12 },
);

function joined(chunks: readonly Chunk[], direction: Direction): string {
  return chunks.flatMap(([each, chunk]) => (each === direction ? [chunk] : [])).join("");
}

describe("the bytes of a session", () => {
  it("are all in its transcript, whatever they are and wherever they were cut", () => {
    fc.assert(
      fc.property(anyChunks, (chunks) => {
        const { sent, received, end } = readTranscriptText(recorded(chunks, CLOSED_HERE));
        expect(sent).toBe(joined(chunks, "sent"));
        expect(received).toBe(joined(chunks, "received"));
        expect(end).toBe("closed here");
      }),
      { numRuns: 300 },
    );
  });

  it("are read from it again", () => {
    fc.assert(
      fc.property(anyChunks, (chunks) => {
        const read = { sent: "", received: "" };
        const end = readTranscript(bytes(recorded(chunks, CLOSED_HERE)), "t", (direction, piece) => {
          read[direction] += text(piece);
        });
        expect(read).toEqual({ sent: joined(chunks, "sent"), received: joined(chunks, "received") });
        expect(end).toEqual({ by: "client" });
      }),
      { numRuns: 300 },
    );
  });

  it("make the same packets wherever they are cut", () => {
    const packets = (chunks: readonly string[]): string[] => {
      const splitter = new Splitter();
      const found: string[] = [];
      for (const chunk of chunks) {
        splitter.push(bytes(chunk), (kind, piece) => {
          if (kind === "packet" || kind === "notification") found.push(text(piece));
        });
      }
      return [...found, text(splitter.rest())];
    };
    fc.assert(
      fc.property(anyBytes, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), (all, sizes) => {
        const cut: string[] = [];
        for (let at = 0; at < all.length; at += cut.at(-1)?.length ?? 1) {
          cut.push(all.slice(at, at + (sizes.next().value as number)));
        }
        expect(packets(cut)).toEqual(packets([all]));
      }),
    );
  });

  it("of a packet that does not end are passed on after 4 MiB, and none is lost", () => {
    const splitter = new Splitter();
    let passed = 0;
    let largest = 0;
    for (let i = 0; i < 200; i++) {
      splitter.push(Buffer.alloc(65_536, i === 0 ? "$" : "a"), (_, piece) => {
        passed += piece.length;
        largest = Math.max(largest, piece.length);
      });
    }
    expect(largest).toBeLessThan(5 << 20);
    expect(passed + splitter.rest().length).toBe(200 * 65_536);
    expect(passed).toBeGreaterThan(8 << 20);
  });
});

function refusal(file: string | Buffer): string {
  try {
    readTranscript(Buffer.isBuffer(file) ? file : bytes(file), "x\x1b.txt", () => undefined);
  } catch (error) {
    expect(error).toBeInstanceOf(EbscopeError);
    expect((error as EbscopeError).code).toBe("not-a-transcript");
    expect((error as EbscopeError).message).not.toMatch(/\p{Cc}/u);
    return (error as EbscopeError).message;
  }
  throw new Error("it was read");
}

describe("reading a transcript", () => {
  it("takes lines as an editor or a mail may leave them", () => {
    const read: string[] = [];
    const file =
      "# ebscope transcript 1\r\n\r\n# words\r\n0 > $?#3f\r\n12.5 < +$S05#b8\r\n13 closed by the stub\r\n\r\n# more\r\n";
    const end = readTranscript(bytes(file), "t", (direction, piece, line) => {
      read.push(`${line} ${direction} ${text(piece)}`);
    });
    expect(read).toEqual(["4 sent $?#3f", "5 received +$S05#b8"]);
    expect(end).toEqual({ by: "stub", reason: undefined });
  });

  it("says that a file without an end was cut, and leaves out a line without its newline", () => {
    const read: string[] = [];
    const end = readTranscript(bytes(`${transcriptText("> $?#3f")}0.1 < +$S0`), "t", (_, piece) => {
      read.push(text(piece));
    });
    expect(end).toBeUndefined();
    expect(read).toEqual(["$?#3f"]);
  });

  it.each([
    ["", /it is empty/],
    ["\n", /it starts with ""/],
    ["GIF89a", /it starts with "GIF89a"/],
    ["# ebscope transcript 2\n", /format is version 2, and this ebscope reads version 1/],
    ["# ebscope transcript 999999999999999\n", /it starts with/],
    ["# ebscope transcript\n", /it starts with/],
    [transcriptText("> $a#61", "hello"), /line 3 is none of a transcript: "0.001000 hello"/],
    [transcriptText("= $a#61"), /line 2/],
    [transcriptText(">$a#61"), /line 2/],
    [transcriptText("> "), /line 2/],
    [transcriptText("> text"), /line 2/],
    [transcriptText("> interrupted"), /line 2/],
    [transcriptText("> $\\x6"), /line 2/],
    [transcriptText("> $\\n#00"), /line 2/],
    [transcriptText("> $\\"), /line 2/],
    [transcriptText("> $\x01#00"), /line 2/],
    [transcriptText("> $\xff#00"), /line 2/],
    [transcriptText("closed"), /line 2/],
    [transcriptText("closed by me"), /line 2/],
    [transcriptText("closed here", "> $a#61"), /line 3/],
    [transcriptText("closed here", "closed here"), /line 3/],
    ["# ebscope transcript 1\n-1 > $a#61\n", /line 2/],
    ["# ebscope transcript 1\n1e3 > $a#61\n", /line 2/],
  ])("refuses %j", (file, why) => {
    const message = refusal(file);
    expect(message).toMatch(/^Cannot replay x\\x1b\.txt: /);
    expect(message).toMatch(why);
  });

  it("refuses a file of one endless line, and one of too many, in a short message", () => {
    expect(refusal(Buffer.alloc(32 << 20, "x")).length).toBeLessThan(200);
    const header = bytes("# ebscope transcript 1\n");
    expect(refusal(Buffer.concat([header, Buffer.alloc(16 << 20, "y"), bytes("\n")])).length).toBeLessThan(200);
    expect(refusal(Buffer.concat([header, Buffer.alloc(4_100_000, "\n")]))).toMatch(/more than 4000000 lines/);
  });

  it("reads or refuses any bytes, and raises nothing else", () => {
    const line = fc.oneof(
      anyBytes,
      anyBytes.map((content) => `0.1 > ${content}`),
      fc.constantFrom("1 closed here", "1 closed by the stub: x", "2 < $OK#9a", "3 > interrupt", "4 < raw x"),
    );
    fc.assert(
      fc.property(fc.array(line), (body) => {
        try {
          readTranscript(bytes(["# ebscope transcript 1", ...body].join("\n")), "t", () => undefined);
        } catch (error) {
          expect(error).toMatchObject({ name: "EbscopeError", code: "not-a-transcript" });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("the file of a recording", () => {
  const never = (error: EbscopeError): void => {
    throw error;
  };

  function cannotOpen(path: string): EbscopeError {
    try {
      new RecordFile(path, never).close();
    } catch (error) {
      return error as EbscopeError;
    }
    throw new Error("it was opened");
  }

  it("is refused at once where it cannot be created", () => {
    using file = temporaryFile();
    mkdirSync(file.path);
    const cases: [string, RegExp][] = [
      [`${file.path}/none/file`, /no such file or folder$/],
      [file.path, /it is a folder$/],
      ["/dev/null", /it is no regular file$/],
    ];
    for (const [path, why] of cases) {
      const error = cannotOpen(path);
      expect(error).toMatchObject({ name: "EbscopeError", code: "file-unwritable" });
      expect(error.message).toMatch(why);
    }
  });

  it("replaces one that is there", () => {
    using file = temporaryFile();
    writeFileSync(file.path, "long ago");
    chmodSync(file.path, 0o644);
    const record = new RecordFile(file.path, never);
    record.append(bytes("now"));
    record.close();
    expect(file.bytes().toString()).toBe("now");
  });

  it("holds at the end of the turn what was appended in it", async () => {
    using file = temporaryFile();
    const record = new RecordFile(file.path, never);
    record.append(bytes("a"));
    record.append(bytes("b"));
    await new Promise((resolve) => setTimeout(resolve, 0));
    await new Promise((resolve) => setImmediate(resolve));
    expect(readFileSync(file.path, "latin1")).toBe("ab");
    record.append(bytes("c"));
    record.close();
    record.close();
    record.append(bytes("d"));
    expect(file.bytes().toString()).toBe("abc");
  });
});
