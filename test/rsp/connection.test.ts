import { afterEach, describe, expect, it, vi } from "vitest";
import { EbscopeError, type ErrorCode } from "../../src/base/error.ts";
import { Connection, type ConnectionOptions } from "../../src/rsp/connection.ts";
import { connectTransport } from "../../src/rsp/transport.ts";
import { failure } from "../support/failure.ts";
import { FakeTransport, settled } from "../support/fake-transport.ts";
import {
  type Answer,
  frame,
  raw,
  reply,
  type Script,
  type ScriptedStub,
  type StubOptions,
  silence,
  startStub,
} from "../support/scripted-stub.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function stubOf(options: StubOptions = {}): Promise<ScriptedStub> {
  const stub = await startStub(options);
  cleanup.push(() => stub.close());
  return stub;
}

async function connectTo(stub: ScriptedStub, options: ConnectionOptions = {}): Promise<Connection> {
  const connection = new Connection(await connectTransport(stub.address), options);
  cleanup.push(() => connection.close());
  return connection;
}

function faked(options: ConnectionOptions = {}): { wire: FakeTransport; connection: Connection } {
  const wire = new FakeTransport();
  return { wire, connection: new Connection(wire, options) };
}

/** As `faked`, with QEMU's way of acknowledging: requests are pipelined, and no `+` is sent. */
async function pipelined(options: ConnectionOptions = {}): Promise<{ wire: FakeTransport; connection: Connection }> {
  const both = faked(options);
  await both.connection.implyAcks();
  return both;
}

const ask = (connection: Connection, payload: string, label = payload): Promise<string> =>
  connection.requestText(payload, { label });

describe("requests", () => {
  it("a thousand in flight are answered in the order they were sent", async () => {
    const stub = await stubOf({ script: { answer: (request) => reply(`r${request}`) } });
    const connection = await connectTo(stub);
    const sent = Array.from({ length: 1000 }, (_, i) => `q${i}`);
    expect(await Promise.all(sent.map((payload) => ask(connection, payload)))).toEqual(sent.map((each) => `r${each}`));
    expect(stub.session.requests).toEqual(sent);
  });

  it("are pipelined: none waits for the answer to the one before", async () => {
    const { wire, connection } = await pipelined();
    const replies = Promise.all(["a", "b", "c"].map((payload) => ask(connection, payload)));
    await settled();
    expect(wire.writes).toEqual([frame("a") + frame("b") + frame("c")]);
    wire.receive(`+${frame("1")}+${frame("2")}+${frame("3")}`);
    expect(await replies).toEqual(["1", "2", "3"]);
  });

  it("no more than maxInFlight are in flight, and as many as that when there are enough", async () => {
    const stub = await stubOf({ hold: true, script: { answer: reply } });
    const connection = await connectTo(stub, { maxInFlight: 16 });
    await connection.implyAcks();
    const sent = Array.from({ length: 200 }, (_, i) => `q${i}`);
    const replies = connection.batch(
      sent.map((payload) => ({ payload, label: payload })),
      (bytes) => Buffer.from(bytes).toString(),
    );
    await vi.waitFor(() => expect(stub.held).toBe(16), { timeout: 5000, interval: 1 });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(stub.held).toBe(16);
    for (let answered = 0; answered < sent.length; ) {
      await vi.waitFor(() => expect(stub.held).toBeGreaterThan(0), { timeout: 5000, interval: 1 });
      answered += stub.held;
      stub.answerHeld();
    }
    expect(await replies).toEqual(sent);
    expect(stub.mostHeld).toBe(16);
  });

  it("with acknowledgements one is under way at a time, and `+` goes out with the next one", async () => {
    const { wire, connection } = faked();
    const replies = ["a", "b", "c"].map((payload) => ask(connection, payload));
    for (const text of ["1", "2", "3"]) {
      await settled();
      wire.receive(`+${frame(text)}`);
    }
    await Promise.all(replies);
    expect(wire.writes).toEqual([frame("a"), `+${frame("b")}`, `+${frame("c")}`, "+"]);
  });

  it("with implied acknowledgements no + is sent: each request does that for the reply before it", async () => {
    const { wire, connection } = await pipelined();
    const replies = ["a", "b"].map((payload) => ask(connection, payload));
    await settled();
    wire.receive(`+${frame("1")}+${frame("2")}`);
    await Promise.all(replies);
    await connection.resume("c");
    wire.receive(`+${frame("T05thread:01;")}`);
    await connection.nextStop();
    await settled();
    expect(wire.wire).toBe(frame("a") + frame("b") + frame("c"));
  });

  it("are pipelined without acknowledgements once the stub agreed to QStartNoAckMode", async () => {
    const { wire, connection } = faked();
    const agreed = connection.startNoAckMode();
    await settled();
    wire.receive(`+${frame("OK")}`);
    expect(await agreed).toBe(true);
    const replies = Promise.all(["a", "b"].map((payload) => ask(connection, payload)));
    await settled();
    wire.receive(frame("1") + frame("2"));
    expect(await replies).toEqual(["1", "2"]);
    expect(wire.writes).toEqual([frame("QStartNoAckMode"), "+", frame("a") + frame("b")]);
  });

  it("a stub that does not know QStartNoAckMode is acknowledged as before", async () => {
    const { wire, connection } = faked();
    const agreed = connection.startNoAckMode();
    await settled();
    wire.receive(`+${frame("")}`);
    expect(await agreed).toBe(false);
    expect(connection.ackMode).toBe("strict");
  });

  it("one that is longer than the stub takes is not sent: it would be dropped without a word", async () => {
    const { wire, connection } = faked();
    connection.packetSize = 16;
    const error = await failure(ask(connection, "m0123456789a,1", "reading memory"));
    expect(error).toMatchObject({ code: "internal" });
    expect(error.message).toContain("reading memory");
    await settled();
    expect(wire.writes).toEqual([]);
  });

  it("no more bytes are in flight than maxInFlightBytes, but a single request may be longer", async () => {
    const { wire, connection } = await pipelined({ maxInFlightBytes: 20 });
    const replies = Promise.all(["a".repeat(30), "b", "c", "d".repeat(12)].map((payload) => ask(connection, payload)));
    const seen: string[] = [];
    for (let answered = 0; answered < 4; ) {
      await settled();
      const now = wire.writes.splice(0).join("");
      seen.push(now);
      const count = now.split("#").length - 1;
      wire.receive(`+${frame("OK")}`.repeat(count));
      answered += count;
    }
    expect(await replies).toHaveLength(4);
    expect(seen).toEqual([frame("a".repeat(30)), frame("b") + frame("c"), frame("d".repeat(12))]);
  });

  it("replies that come one byte at a time are put together", async () => {
    const stub = await stubOf({ bytewise: true, script: { answer: (request) => reply(`${request}-}`) } });
    const connection = await connectTo(stub);
    expect(await Promise.all([ask(connection, "a"), ask(connection, "b")])).toEqual(["a-}", "b-}"]);
  });

  it("payloads with special bytes reach the stub as they were", async () => {
    const stub = await stubOf({ script: { answer: () => reply("OK") } });
    const connection = await connectTo(stub);
    const payload = "X0,4:#$}*\x00\x03\xff";
    expect(await ask(connection, payload)).toBe("OK");
    expect(stub.session.requests).toEqual([payload]);
    expect(stub.session.badChecksums).toBe(0);
  });

  it("console output before a reply goes to onOutput, and OK is the reply", async () => {
    const { wire, connection } = faked();
    const output: string[] = [];
    const done = connection.requestText("qRcmd,00", { label: "monitor", onOutput: (text) => output.push(text) });
    await settled();
    wire.receive(`+${frame("O4142")}${frame("O43")}${frame("OK")}`);
    expect(await done).toBe("OK");
    expect(output).toEqual(["4142", "43"]);
  });

  it("what a command's decoder throws rejects that command, and the session goes on", async () => {
    const { wire, connection } = faked();
    const decode = (): never => {
      throw new RangeError("no such thing");
    };
    const broken = connection.send({ payload: "a", label: "a", decode }).catch((error: unknown) => error);
    const answer = ask(connection, "b");
    await settled();
    wire.receive(`+${frame("1")}`);
    await settled();
    wire.receive(`+${frame("2")}`);
    expect(await broken).toBeInstanceOf(RangeError);
    expect(await answer).toBe("2");
  });

  it("an empty reply is a reply: the stub does not know the request", async () => {
    const { wire, connection } = faked();
    const answer = ask(connection, "qWhat");
    await settled();
    wire.receive(`+${frame("")}`);
    expect(await answer).toBe("");
  });

  it("with acknowledgements, a packet before the acknowledgement is an old one that came again", async () => {
    const { wire, connection } = faked();
    wire.receive(frame("stale"));
    const answer = ask(connection, "a");
    await settled();
    wire.receive(frame("stale"));
    wire.receive(`+${frame("1")}`);
    expect(await answer).toBe("1");
  });

  it("replies that nobody asked for end the session, whatever they say", async () => {
    for (const mode of ["strict", "implied", "none"] as const) {
      const { wire, connection } = mode === "implied" ? await pipelined() : faked();
      if (mode === "none") {
        const agreed = connection.startNoAckMode();
        await settled();
        wire.receive(`+${frame("OK")}`);
        await agreed;
      }
      // Without acknowledgements one that comes while an answer is due cannot be told from it.
      const answer = mode === "none" ? undefined : failure(ask(connection, "a"));
      await settled();
      wire.receive(frame("OK").repeat(20));
      if (answer !== undefined) expect((await answer).code, mode).toBe("protocol-error");
      expect((await failure(ask(connection, "b"))).code, mode).toBe("protocol-error");
    }
  });

  it("a notification is told of and answers nothing", async () => {
    const notifications: string[] = [];
    const { wire, connection } = faked({ onNotification: (text) => notifications.push(text) });
    const answer = ask(connection, "a");
    await settled();
    wire.receive(`${frame("Stop:T05").replace("$", "%")}+${frame("1")}`);
    expect(await answer).toBe("1");
    expect(notifications).toEqual(["Stop:T05"]);
    expect(wire.writes.at(-1)).toBe("+");
  });
});

describe("damage on the line, with acknowledgements:", () => {
  it("a request that the stub did not accept is sent again", async () => {
    const { wire, connection } = faked();
    const answer = ask(connection, "a");
    await settled();
    wire.receive("-");
    await settled();
    wire.receive(`+${frame("1")}`);
    expect(await answer).toBe("1");
    expect(wire.writes).toEqual([frame("a"), frame("a"), "+"]);
  });

  it("one that it never accepts is given up after four times", async () => {
    const { wire, connection } = faked();
    const answer = failure(ask(connection, "a", "reading x0"));
    for (let i = 0; i < 4; i++) {
      await settled();
      wire.receive("-");
    }
    expect(await answer).toMatchObject({ code: "protocol-error" });
    expect((await answer).message).toContain("NAK");
    expect((await answer).message).toContain("reading x0");
    expect(wire.wire).toBe(frame("a").repeat(4));
  });

  it("a request that it has taken is not sent twice", async () => {
    const { wire, connection } = faked();
    const answer = ask(connection, "vFlashErase:0,10");
    await settled();
    wire.receive("+---");
    await settled();
    wire.receive(frame("OK"));
    expect(await answer).toBe("OK");
    expect(wire.wire).toBe(`${frame("vFlashErase:0,10")}+`);
  });

  it("a request that is not acknowledged is sent again after a while", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = faked({ deadlineMs: 10_000, retransmitMs: 500 });
    const answer = ask(connection, "a");
    await settled();
    vi.advanceTimersByTime(500);
    await settled();
    expect(wire.wire).toBe(frame("a").repeat(2));
    wire.receive(`+${frame("1")}`);
    expect(await answer).toBe("1");
    vi.advanceTimersByTime(5000);
    expect(wire.wire).toBe(`${frame("a").repeat(2)}+`);
  });

  it("a resume that is not acknowledged is never sent again: the guest may run", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = faked();
    await connection.resume("c");
    vi.advanceTimersByTime(60_000);
    await settled();
    expect(wire.wire).toBe(frame("c"));
  });

  it.each([
    ["a wrong checksum", "$m01#00"],
    ["a $ that became a %", "%m01#ce"],
    ["a $ that became a digit", "4m01#ce"],
  ])("a reply with %s is asked for again", async (_, damaged) => {
    const { wire, connection } = faked();
    wire.receive(frame("T02thread:01;"));
    const answer = ask(connection, "a");
    await settled();
    for (const char of `+${damaged}`) wire.receive(char);
    wire.receive(frame("m01"));
    expect(await answer).toBe("m01");
    expect(wire.wire).toBe(`+${frame("a")}-+`);
  });

  it("one that is damaged each time is given up after four times", async () => {
    const { wire, connection } = faked();
    const answer = failure(ask(connection, "a"));
    await settled();
    wire.receive("+");
    for (let i = 0; i < 4; i++) wire.receive("$m01#00");
    expect(await answer).toMatchObject({ code: "protocol-error" });
    expect((await answer).message).toContain("a corrupt packet arrived (checksum), again and again");
    expect(wire.wire).toBe(`${frame("a")}---`);
  });

  it("without them it ends the session: what was lost would put every later answer out of place", async () => {
    for (const damaged of ["$m01#00", "%m01#ce", "4m01#ce", "$m01cce$m01#ce", "-"]) {
      const { wire, connection } = await pipelined();
      await Promise.all([
        connection.requestText("?", { label: "?", expectsStop: true }),
        settled().then(() => wire.receive(`+${frame("S05")}`)),
      ]);
      const answers = [failure(ask(connection, "a")), failure(ask(connection, "b"))];
      await settled();
      wire.receive(`+${damaged}+${frame("m02")}`);
      for (const error of await Promise.all(answers)) expect(error.code, damaged).toBe("protocol-error");
    }
  });
});

describe("deadlines", () => {
  it("a request is given its time from when it is the oldest in flight", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = await pipelined({ deadlineMs: 1000 });
    const replies = Array.from({ length: 10 }, (_, i) => ask(connection, `q${i}`));
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(900);
      await settled();
      wire.receive(`+${frame(`r${i}`)}`);
    }
    expect(await Promise.all(replies)).toHaveLength(10);
    vi.advanceTimersByTime(60_000);
    expect(connection.closed).toBe(false);
  });

  it("a request that has none of its own answered ends the conversation, all others with it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = await pipelined({ deadlineMs: 1000, maxInFlight: 2 });
    const failures = ["reading SCTLR_EL1", "b", "c"].map((label) => failure(ask(connection, "p1", label)));
    vi.advanceTimersByTime(999);
    expect(connection.closed).toBe(false);
    vi.advanceTimersByTime(1);
    for (const error of await Promise.all(failures)) expect(error.code).toBe("stub-silent");
    expect((await failures[0])?.message).toBe("Cannot talk to the stub: no answer within 1 s (reading SCTLR_EL1)");
    expect(wire.closed).toBe(true);
  });

  it("a request may have a deadline of its own", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { connection } = faked({ deadlineMs: 60_000 });
    const error = failure(connection.request("g", { label: "g", deadlineMs: 50 }));
    vi.advanceTimersByTime(50);
    expect((await error).code).toBe("stub-silent");
  });

  it("an answer that lies there unread when the time is up is an answer: this process was stopped", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = await pipelined({ deadlineMs: 1000 });
    const [first, second] = [ask(connection, "a"), failure(ask(connection, "b"))];
    vi.advanceTimersByTime(3600_000);
    wire.receive(`+${frame("1")}`);
    expect(await first).toBe("1");
    await settled();
    expect(connection.closed).toBe(false);
    vi.advanceTimersByTime(1000);
    expect((await second).code).toBe("stub-silent");
  });

  it("a running guest has none: it may run for hours", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { wire, connection } = faked({ deadlineMs: 1000 });
    await connection.resume("c");
    const stop = connection.nextStop();
    vi.advanceTimersByTime(10 * 3600_000);
    wire.receive(`+${frame("T05thread:01;")}`);
    expect(await stop).toMatchObject({ kind: "signal", signal: 5 });
  });
});

describe("the fence around a resume", () => {
  it("holds the resume back until every reply has come and been acknowledged", async () => {
    const { wire, connection } = faked();
    const replies = [ask(connection, "a"), ask(connection, "b")];
    const resumed = connection.resume("c");
    await settled();
    wire.receive(`+${frame("1")}`);
    await settled();
    expect(wire.wire).not.toContain(frame("c"));
    wire.receive(`+${frame("2")}`);
    await Promise.all([...replies, resumed]);
    expect(wire.wire).toBe(`${frame("a")}+${frame("b")}+${frame("c")}`);
  });

  it("lets the resume follow at once where nothing will be acknowledged, and sends nothing behind it", async () => {
    const { wire, connection } = await pipelined();
    const replies = [ask(connection, "z0,4000,4"), ask(connection, "b")];
    await connection.resume("vCont;s:1");
    const refused = await failure(ask(connection, "late"));
    expect(refused.code).toBe("internal");
    const stop = connection.nextStop();
    wire.receive(`+${frame("OK")}+${frame("2")}+`);
    expect(await Promise.all(replies)).toEqual(["OK", "2"]);
    expect(connection.running).toBe(true);
    wire.receive(frame("T05thread:01;"));
    expect(await stop).toMatchObject({ signal: 5 });
    expect(wire.wire).toBe(frame("z0,4000,4") + frame("b") + frame("vCont;s:1"));
  });

  it("a stub that refuses to resume is told of by who waits for the stop, also later", async () => {
    const refusals = [
      [frame("E22"), "stub-refused"],
      [frame(""), "stub-unsupported"],
    ] as const;
    for (const [packet, code] of refusals) {
      const { wire, connection } = faked();
      await connection.resume("vCont;s:9");
      const waiting = failure(connection.nextStop());
      wire.receive(`+${packet}`);
      expect((await waiting).code).toBe(code);
      expect(connection.running).toBe(false);
      await connection.resume("vCont;s:9");
      wire.receive(`+${packet}`);
      expect((await failure(connection.nextStop())).code).toBe(code);
    }
  });

  it("a stop from before the resume is not taken for the stop after it", async () => {
    const { wire, connection } = await pipelined();
    await connection.resume("c");
    const stop = connection.nextStop();
    wire.receive(frame("T02thread:01;"));
    await settled();
    expect(connection.running).toBe(true);
    expect(connection.unsolicited).toHaveLength(1);
    wire.receive(`+${frame("T05thread:02;")}`);
    expect(await stop).toMatchObject({ thread: "02" });
  });

  it("holds it back for requests that were queued beyond maxInFlight too", async () => {
    const { wire, connection } = faked({ maxInFlight: 1 });
    const replies = [ask(connection, "a"), ask(connection, "b")];
    const resumed = connection.resume("c");
    await settled();
    wire.receive(`+${frame("1")}`);
    await settled();
    wire.receive(`+${frame("2")}`);
    await Promise.all([...replies, resumed]);
    expect(wire.wire).toBe(`${frame("a")}+${frame("b")}+${frame("c")}`);
  });

  it.each(["resume", "detach"] as const)(
    "holds a %s back for a request that the last reply gave rise to",
    async (way) => {
      // However many steps later that request is made: it is either before the fence or refused.
      const outcomes = new Set<string>();
      for (let steps = 0; steps < 10; steps++) {
        const { wire, connection } = faked();
        const chain = connection
          .request("a", { label: "a" })
          .then(async () => {
            for (let i = 0; i < steps; i++) await undefined;
            return connection.request("b", { label: "b" });
          })
          .then(
            () => "answered",
            () => "refused",
          );
        const going = (way === "resume" ? connection.resume("c") : connection.detach()).then(() => "gone");
        const last = frame(way === "resume" ? "c" : "D");
        await settled();
        wire.receive(`+${frame("1")}`);
        await settled();
        if (!wire.wire.endsWith(last)) {
          expect(wire.wire).toBe(`${frame("a")}+${frame("b")}`);
          wire.receive(`+${frame("2")}`);
          await settled();
        }
        expect(wire.wire.endsWith(`+${last}`)).toBe(true);
        wire.receive(`+${frame("OK")}`);
        expect(await going).toBe("gone");
        outcomes.add(await chain);
      }
      expect([...outcomes].sort()).toEqual(["answered", "refused"]);
    },
  );

  it("lets nothing through while the guest runs", async () => {
    const stub = await stubOf();
    const connection = await connectTo(stub);
    await connection.resume("c");
    await vi.waitFor(() => expect(stub.running).toBe(true));
    const sent = stub.session.wire.length;
    expect((await failure(ask(connection, "g", "reading registers"))).message).toBe(
      "Cannot do this while the guest runs: reading registers",
    );
    expect((await failure(connection.resume("c"))).code).toBe("internal");
    await settled();
    stub.stop();
    expect(await connection.nextStop()).toMatchObject({ kind: "signal", signal: 5, thread: "01" });
    expect(await ask(connection, "qfThreadInfo")).toBe("m01");
    expect(stub.session.stray).toBe("");
    expect(stub.session.wire.slice(sent)).toBe(`+${frame("qfThreadInfo")}`);
  });

  it("survives hundreds of stops with replies around them, and never a stray byte", async () => {
    const stub = await stubOf({ script: { onResume: () => setImmediate(() => stub.stop()) } });
    const connection = await connectTo(stub);
    for (let i = 0; i < 300; i++) {
      const reads = [ask(connection, "qfThreadInfo"), ask(connection, "qsThreadInfo"), ask(connection, "qsThreadInfo")];
      await connection.resume("c");
      expect(await Promise.all(reads)).toEqual(["m01", "m02", "l"]);
      expect(await connection.nextStop()).toMatchObject({ signal: 5 });
    }
    await vi.waitFor(() => expect(stub.session.acks).toBe(1200));
    expect(stub.session.stray).toBe("");
  });
});

describe("stops", () => {
  it("an interrupt is the one byte 0x03, and the stop comes after it", async () => {
    const stub = await stubOf();
    const connection = await connectTo(stub);
    await connection.resume("c");
    await vi.waitFor(() => expect(stub.running).toBe(true));
    const stop = connection.nextStop();
    connection.interrupt();
    expect(await stop).toMatchObject({ kind: "signal", signal: 2, thread: "01" });
    expect(connection.running).toBe(false);
    await vi.waitFor(() => expect(stub.session.wire).toBe(`${frame("c")}\x03+`));
  });

  it("an interrupt sends nothing to a halted guest", async () => {
    const { wire, connection } = faked();
    connection.interrupt();
    await settled();
    expect(wire.writes).toEqual([]);
  });

  it("a stop that comes before anybody waits is kept", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    wire.receive(`+${frame("T05thread:02;")}`);
    expect(connection.running).toBe(false);
    expect(await connection.nextStop()).toMatchObject({ thread: "02" });
    expect((await failure(connection.nextStop())).code).toBe("internal");
  });

  it("a stop left over from before is not taken for the next one", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    wire.receive(`+${frame("T05thread:02;")}`);
    await connection.resume("c");
    const stop = connection.nextStop();
    wire.receive(`+${frame("T05thread:03;")}`);
    expect(await stop).toMatchObject({ thread: "03" });
  });

  it("everybody who waits gets the stop", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    const stops = [connection.nextStop(), connection.nextStop()];
    wire.receive(`+${frame("T05thread:02;")}`);
    for (const stop of await Promise.all(stops)) expect(stop).toMatchObject({ thread: "02" });
  });

  it("one who gives up waiting does not take the stop from another", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    const impatient = new AbortController();
    const givenUp = failure(connection.nextStop(impatient.signal));
    const stop = connection.nextStop();
    impatient.abort();
    expect((await givenUp).code).toBe("interrupted");
    wire.receive(`+${frame("T05thread:02;")}`);
    expect(await stop).toMatchObject({ thread: "02" });
  });

  it("an aborted wait leaves the guest running, with nothing sent", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    const late = new EbscopeError("timed-out", "too late");
    expect(await failure(connection.nextStop(AbortSignal.abort(late)))).toBe(late);
    const controller = new AbortController();
    const waiting = failure(connection.nextStop(controller.signal));
    controller.abort(late);
    expect(await waiting).toBe(late);
    expect(connection.running).toBe(true);
    expect(wire.wire).toBe(frame("c"));
  });

  it("a stop reply while the guest is halted is unsolicited, and no answer", async () => {
    const { wire, connection } = faked();
    const answer = ask(connection, "qSupported");
    await settled();
    wire.receive(frame("T02thread:01;"));
    wire.receive(`+${frame("PacketSize=1000")}`);
    expect(await answer).toBe("PacketSize=1000");
    expect(connection.unsolicited).toMatchObject([{ kind: "signal", signal: 2, thread: "01" }]);
  });

  it("a stop reply is the answer to a request that expects one", async () => {
    const { wire, connection } = faked();
    const answer = connection.requestText("?", { label: "?", expectsStop: true });
    await settled();
    wire.receive(`+${frame("T05thread:01;")}`);
    expect(await answer).toBe("T05thread:01;");
    expect(connection.unsolicited).toEqual([]);
  });

  it("console output of a running guest is no stop", async () => {
    const { wire, connection } = faked();
    await connection.resume("c");
    const stop = connection.nextStop();
    wire.receive(`+${frame("O48690a")}`);
    expect(connection.running).toBe(true);
    wire.receive(frame("W00"));
    expect(await stop).toEqual({ kind: "exited", status: 0 });
  });

  it("bytes of any kind are the answer to a request for such, whatever they look like", async () => {
    const { wire, connection } = faked();
    for (const bytes of ["T05thread:01;", "S05", "O4142", "X0b"]) {
      const answer = connection.requestText("x4000,3", { label: "x", anyBytes: true });
      await settled();
      wire.receive(`+${frame(bytes)}`);
      expect(await answer).toBe(bytes);
    }
    expect(connection.unsolicited).toEqual([]);
  });

  it("a connection that is lost while the guest runs ends the wait", async () => {
    const stub = await stubOf();
    const connection = await connectTo(stub);
    await connection.resume("c");
    const stop = failure(connection.nextStop());
    await vi.waitFor(() => expect(stub.running).toBe(true));
    stub.hangUp();
    expect((await stop).code).toBe("connection-lost");
    expect((await failure(connection.nextStop())).code).toBe("connection-lost");
    expect((await failure(connection.resume("c"))).code).toBe("connection-lost");
  });
});

describe("closing", () => {
  it("rejects what is in flight and what comes later, once", async () => {
    const { wire, connection } = faked();
    const pending = failure(ask(connection, "a"));
    const resuming = failure(connection.resume("c"));
    await connection.close();
    expect((await pending).code).toBe("connection-lost");
    expect((await resuming).code).toBe("connection-lost");
    expect((await failure(ask(connection, "b"))).code).toBe("connection-lost");
    expect(connection.closed).toBe(true);
    expect(wire.closed).toBe(true);
    wire.receive(frame("OK"));
    wire.hangUp();
    expect(wire.wire).not.toContain("+");
  });

  it("leaves no timer behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { connection } = faked();
    const pending = failure(ask(connection, "a"));
    expect(vi.getTimerCount()).toBe(1);
    await connection.close();
    await pending;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("keeps the reason that the transport gives", async () => {
    const { wire, connection } = faked();
    const pending = failure(ask(connection, "a", "reading x0"));
    const cause = new Error("ECONNRESET");
    wire.hangUp(cause);
    const error = await pending;
    expect(error).toMatchObject({ code: "connection-lost", cause });
    expect(error.message).toBe("Cannot talk to the stub: the stub closed the connection (reading x0)");
  });
});

const after = (count: number, answer: Answer): Script => ({
  answer: (_, index) => (index < count ? undefined : answer),
});

/** A stub that misbehaves, and what is said about it. `says` is part of the message. */
const MISBEHAVIOURS: readonly (readonly [what: string, script: Script, codes: readonly ErrorCode[], says: string])[] = [
  ["says nothing at all", { answer: () => silence }, ["stub-silent"], "no answer within 0.06 s"],
  ["falls silent after two packets", after(2, silence), ["stub-silent"], "no answer within 0.06 s"],
  ["acknowledges and says no more", after(1, raw("+")), ["stub-silent"], "no answer within 0.06 s"],
  [
    "closes in the middle of a packet",
    after(1, { kind: "raw-then-close", bytes: "+$T05thr" }),
    ["connection-lost"],
    "the stub closed the connection",
  ],
  ["closes instead of answering", after(0, { kind: "raw-then-close", bytes: "" }), ["connection-lost"], "closed"],
  ["sends a wrong checksum", after(1, raw("+$OK#9b")), ["protocol-error"], "a corrupt packet arrived (checksum)"],
  ["sends a run of nothing", after(1, raw("+$* #4a")), ["protocol-error"], "a corrupt packet arrived (run-length)"],
  ["refuses a packet (NAK)", after(1, raw("-")), ["protocol-error"], "NAK"],
  [
    "speaks HTTP",
    { speaks: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" },
    ["not-a-gdbstub"],
    "it is an HTTP server",
  ],
  [
    "greets as a QMP monitor",
    { greeting: '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n' },
    ["not-a-gdbstub"],
    "it is a QMP monitor",
  ],
  [
    "greets as QEMU's human monitor",
    { greeting: "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) " },
    ["not-a-gdbstub"],
    "human monitor",
  ],
  ["greets as an SSH server", { greeting: "SSH-2.0-OpenSSH_9.2p1\r\n" }, ["not-a-gdbstub"], "it is an SSH server"],
  [
    "greets with escape sequences",
    { greeting: "\x1b[2Jwelcome\x07" },
    ["not-a-gdbstub"],
    String.raw`it sent "\\x1b[2Jwelcome\\x07"`,
  ],
  [
    "sends a packet that never ends",
    after(1, { kind: "endless", head: "+$", bytes: "a".repeat(1 << 16) }),
    ["protocol-error"],
    "a corrupt packet arrived (too-long)",
  ],
  // Whichever comes first: the bound on packets or the deadline.
  [
    "sends console output that never ends",
    after(1, { kind: "endless", head: "+", bytes: frame("O41").repeat(1000) }),
    ["protocol-error", "stub-silent"],
    "",
  ],
  [
    "sends garbage that never ends",
    after(1, { kind: "endless", head: "+", bytes: "garbage ".repeat(1000) }),
    ["protocol-error", "stub-silent"],
    "bytes arrived outside any packet",
  ],
  [
    "acknowledges for ever",
    after(1, { kind: "endless", head: "", bytes: "+".repeat(1000) }),
    ["stub-silent"],
    "no answer",
  ],
  [
    "sends stop replies for ever",
    after(1, { kind: "endless", head: "", bytes: frame("T05thread:01;").repeat(100) }),
    ["stub-silent", "protocol-error"],
    "",
  ],
];

describe("a stub that misbehaves is told of within the deadline, and the next session works:", () => {
  async function threeRequests(connection: Connection): Promise<string[]> {
    const replies: string[] = [];
    for (let i = 0; i < 3; i++) {
      replies.push(await connection.requestText("qfThreadInfo", { label: "listing", onOutput: () => undefined }));
    }
    return replies;
  }

  it.each(MISBEHAVIOURS)("it %s", async (_, script, codes, says) => {
    const stub = await stubOf({ script });
    const started = performance.now();
    // Short where it is waited for; long where something else is to come first, on a busy machine too.
    const deadlineMs = codes.includes("stub-silent") ? 60 : 3000;
    const connection = await connectTo(stub, { deadlineMs });
    const error = await failure(threeRequests(connection));
    expect(performance.now() - started).toBeLessThan(deadlineMs + 1000);
    expect(codes).toContain(error.code);
    expect(error.message).toContain(says);
    expect(connection.closed).toBe(true);
    await connection.close();
    stub.rescript({});
    expect(await threeRequests(await connectTo(stub))).toEqual(["m01", "m01", "m01"]);
  });

  it("it sends more console output than the bound, in a moment", async () => {
    const { wire, connection } = faked();
    const error = failure(connection.request("qRcmd,00", { label: "monitor", onOutput: () => undefined }));
    await settled();
    wire.receive("+");
    wire.receive(frame("O41").repeat(100_001));
    expect(await error).toMatchObject({ code: "protocol-error" });
    expect((await error).message).toContain("the stub's output does not end");
  });

  it("a running guest may print as much as it likes", async () => {
    let heard = 0;
    const { wire, connection } = faked({ onOutput: () => heard++ });
    await connection.resume("c");
    const stop = connection.nextStop();
    wire.receive(`+${frame("O41").repeat(100_001)}${frame("T05thread:01;")}`);
    expect(await stop).toMatchObject({ signal: 5 });
    expect(heard).toBe(100_001);
  });

  it("unsolicited stops do not fill memory", () => {
    const { wire, connection } = faked();
    wire.receive(frame("T05thread:01;").repeat(10_000));
    expect(connection.unsolicited.length).toBeLessThanOrEqual(100);
    expect(connection.closed).toBe(false);
  });

  it("it serves somebody else", async () => {
    const stub = await stubOf();
    const other = await connectTo(stub);
    await ask(other, "qfThreadInfo");
    const second = await connectTo(stub, { deadlineMs: 60 });
    const error = await failure(ask(second, "qfThreadInfo"));
    expect(error.code).toBe("stub-silent");
    expect(error.next).toContain("one debugger at a time");
    await second.close();
    await other.close();
    expect(await ask(await connectTo(stub), "qfThreadInfo")).toBe("m01");
  });
});
