/** RspClient's handshake against hand-written stubs, and what it keeps from going out; real stubs are in test/live/conformance*.test.ts. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { Connection } from "../../src/rsp/connection.ts";
import { RspClient } from "../../src/rsp/index.ts";
import { FakeTransport, settled } from "../support/fake-transport.ts";

afterEach(() => void vi.useRealTimers());

function checksum(payload: string): string {
  const sum = [...Buffer.from(payload, "latin1")].reduce((total, byte) => total + byte, 0) & 0xff;
  return sum.toString(16).padStart(2, "0");
}

const frame = (payload: string): string => `$${payload}#${checksum(payload)}`;

/** A stub that answers from a table, and acknowledges until it was asked not to. What it does not know has the empty reply. */
class TableStub extends FakeTransport {
  readonly requests: string[] = [];
  readonly #answers: Readonly<Record<string, string>>;
  #acks = "+";

  constructor(answers: Readonly<Record<string, string>>) {
    super();
    this.#answers = answers;
  }

  override write(bytes: Uint8Array): void {
    super.write(bytes);
    for (const [, request = ""] of Buffer.from(bytes)
      .toString("latin1")
      .matchAll(/\$([^#]*)#/g)) {
      this.requests.push(request);
      const answer = this.#answers[request] ?? this.#answers[request.split(":")[0] ?? ""] ?? "";
      const acks = this.#acks;
      if (request === "QStartNoAckMode" && answer === "OK") this.#acks = "";
      if (request !== "c") setImmediate(() => this.receive(`${acks}${frame(answer)}`));
    }
  }

  /** What was sent between the requests. */
  get acks(): string {
    return this.wire.replace(/\$[^#]*#../g, ".");
  }
}

const QEMU = { qSupported: "PacketSize=1000;qXfer:features:read+", "?": "T05thread:01;" };
const SYSTEM = { ...QEMU, "qqemu.Supported": "sstepbits;sstep;PhyMemMode" };
const USER = { ...QEMU, "qqemu.Supported": "sstepbits;sstep" };
const NO_ACK = { qSupported: "PacketSize=47ff;QStartNoAckMode+", QStartNoAckMode: "OK", "?": "T05" };

describe("the handshake", () => {
  it("ends acknowledging where the stub offers it", async () => {
    const stub = new TableStub(NO_ACK);
    const client = await RspClient.open(stub);
    expect(client.ackMode).toBe("none");
    expect(client.qemu).toBeUndefined();
    await client.connection.requestText("g", { label: "g" });
    // Each answer up to that of QStartNoAckMode has its acknowledgement, and none after it.
    expect(stub.acks).toBe(".+.+.+..");
  });

  it("keeps acknowledging where the stub offers the end of it and refuses", async () => {
    const client = await RspClient.open(new TableStub({ ...NO_ACK, QStartNoAckMode: "E01" }));
    expect(client.ackMode).toBe("strict");
  });

  it("knows a QEMU that emulates a machine, and pipelines without acknowledgements", async () => {
    const client = await RspClient.open(new TableStub(SYSTEM));
    expect([client.qemu, client.ackMode]).toEqual(["system", "implied"]);
  });

  it("acknowledges each packet of a QEMU that emulates a process: it answers again whoever does not", async () => {
    const client = await RspClient.open(new TableStub(USER));
    expect([client.qemu, client.ackMode]).toEqual(["user", "strict"]);
  });

  it("asks why the target is halted, before acknowledgements end", async () => {
    const stub = new TableStub(NO_ACK);
    const client = await RspClient.open(stub);
    expect(client.initialStop).toMatchObject({ kind: "signal", signal: 5 });
    expect(stub.requests.indexOf("?")).toBeLessThan(stub.requests.indexOf("QStartNoAckMode"));
  });

  it("comes to an end with a stub that knows nothing at all", async () => {
    const client = await RspClient.open(new TableStub({}));
    expect([client.ackMode, client.qemu, client.initialStop, client.features.packetSize]).toEqual([
      "strict",
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("closes the connection when it fails", async () => {
    const transport = new FakeTransport();
    const opened = RspClient.open(transport, { deadlineMs: 20 });
    await expect(opened).rejects.toMatchObject({ code: "stub-silent" });
    expect(transport.closed).toBe(true);
  });
});

describe("the longest read", () => {
  it("is half a packet: each byte comes as two digits", async () => {
    expect((await RspClient.open(new TableStub(SYSTEM))).longestRead).toBe(2048);
    expect((await RspClient.open(new TableStub(NO_ACK))).longestRead).toBe(0x47ff >> 1);
  });

  it("is short where the stub does not tell its packet size", async () => {
    expect((await RspClient.open(new TableStub({}))).longestRead).toBe(200);
  });
});

describe("a step", () => {
  const stopped = (thread: string) => ({ ...SYSTEM, qSupported: "vContSupported+", "?": `T05thread:${thread};` });

  it("moves the thread that stopped when we came", async () => {
    const stub = new TableStub({ ...stopped("02"), vCont: "T05" });
    const client = await RspClient.open(stub);
    await client.resume({ kind: "step" });
    expect(stub.requests.at(-1)).toBe("vCont;s:2");
  });

  it("moves the thread that stopped last", async () => {
    const stub = new TableStub({ ...stopped("02"), "vCont;c": "T05thread:p1.3;", "vCont;s": "T05" });
    const client = await RspClient.open(stub);
    await client.resume([{ kind: "continue" }]);
    await client.nextStop();
    await client.resume({ kind: "step", signal: 2 });
    expect(stub.requests.at(-1)).toBe("vCont;S02:p1.3");
  });

  it("names no thread where the stub told none, or has no vCont", async () => {
    for (const answers of [
      { ...stopped("02"), "?": "S05" },
      { ...stopped("02"), qSupported: "PacketSize=1000" },
    ]) {
      const stub = new TableStub({ ...answers, s: "T05" });
      const client = await RspClient.open(stub);
      await client.resume({ kind: "step" });
      expect(stub.requests.at(-1)).toBe("s");
    }
  });

  it("is left as it is when it names a thread or an address itself", async () => {
    const stub = new TableStub({ ...stopped("02"), "vCont;s": "T05", s10: "T05" });
    const client = await RspClient.open(stub);
    await client.resume({ kind: "step", thread: { process: undefined, thread: 7n } });
    expect(stub.requests.at(-1)).toBe("vCont;s:7");
    await client.nextStop();
    await client.resume({ kind: "step", address: 16 });
    expect(stub.requests.at(-1)).toBe("s10");
  });
});

describe("detaching", () => {
  it("names the process where the stub speaks of processes", async () => {
    const stub = new TableStub({ ...NO_ACK, "?": "T05thread:p4d2.4d2;", "D;4d2": "OK" });
    const client = await RspClient.open(stub);
    await client.detach();
    expect(stub.requests.slice(-1)).toEqual(["D;4d2"]);
    expect(stub.closed).toBe(true);
  });

  it("says so when the stub refuses, and closes all the same", async () => {
    const stub = new TableStub({ ...SYSTEM, D: "E01", "D;1": "E01" });
    const client = await RspClient.open(stub);
    await expect(client.detach()).rejects.toMatchObject({ code: "stub-refused" });
    expect(stub.closed).toBe(true);
  });

  it("says so when the stub knows no detaching; the target is halted as before", async () => {
    const stub = new TableStub({ ...SYSTEM, g: "00" });
    const { connection } = await RspClient.open(stub);
    await expect(connection.detach()).rejects.toMatchObject({ code: "stub-unsupported" });
    expect(connection.running).toBe(false);
    expect(await connection.requestText("g", { label: "g" })).toBe("00");
  });

  it("tries the only process of a QEMU that a debugger before us told about processes", async () => {
    const stub = new TableStub({ ...SYSTEM, D: "E22", "D;1": "OK" });
    const client = await RspClient.open(stub);
    await client.detach();
    expect(stub.requests.slice(-2)).toEqual(["D", "D;1"]);
  });

  it("lets nothing out after it: the target runs", async () => {
    const stub = new TableStub({ ...SYSTEM, D: "OK" });
    const { connection } = await RspClient.open(stub);
    await connection.detach();
    await expect(connection.requestText("g", { label: "g" })).rejects.toThrow(/while the guest runs/);
    expect(stub.requests.at(-1)).toBe("D");
  });
});

describe("running backwards", () => {
  it.each(["reverse-continue", "reverse-step"] as const)("%s is refused here where it is not offered", async (kind) => {
    const stub = new TableStub(SYSTEM);
    const client = await RspClient.open(stub);
    const sent = stub.requests.length;
    await expect(client.resume({ kind })).rejects.toMatchObject({ code: "stub-unsupported" });
    expect(stub.requests).toHaveLength(sent);
  });

  it("goes out where it is offered", async () => {
    const stub = new TableStub({ ...SYSTEM, qSupported: "ReverseContinue+;ReverseStep+", bc: "T05" });
    const client = await RspClient.open(stub);
    await client.resume({ kind: "reverse-continue" });
    expect(await client.nextStop()).toMatchObject({ signal: 5 });
    expect(stub.requests.at(-1)).toBe("bc");
  });
});

describe("a request's own deadline", () => {
  it("holds in its own time also right behind a request that had longer", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const wire = new FakeTransport();
    const connection = new Connection(wire, { deadlineMs: 60_000 });
    const first = connection.requestText("g", { label: "g" });
    await settled();
    wire.receive(`+${frame("00")}`);
    expect(await first).toBe("00");
    const second = connection.requestText("p1", { label: "p1", deadlineMs: 50 }).catch((error: EbscopeError) => error);
    await settled();
    vi.advanceTimersByTime(51);
    await settled();
    expect(await Promise.race([second, settled()])).toBeInstanceOf(EbscopeError);
  });

  it("may be longer than the connection's", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const wire = new FakeTransport();
    const connection = new Connection(wire, { deadlineMs: 1000 });
    const answer = connection.requestText("qRcmd,00", { label: "monitor", deadlineMs: 30_000 });
    await settled();
    wire.receive("+");
    vi.advanceTimersByTime(29_000);
    await settled();
    expect(connection.closed).toBe(false);
    wire.receive(frame("OK"));
    expect(await answer).toBe("OK");
  });

  it("counts from when the request is the oldest: one behind a slow one is not late because of it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const wire = new FakeTransport();
    const connection = new Connection(wire, { deadlineMs: 1000 });
    await connection.implyAcks();
    const slow = connection.requestText("g", { label: "g" });
    const quick = connection.requestText("p1", { label: "p1", deadlineMs: 50 });
    await settled();
    vi.advanceTimersByTime(900);
    await settled();
    wire.receive(`+${frame("00")}+`);
    vi.advanceTimersByTime(49);
    await settled();
    expect(connection.closed).toBe(false);
    wire.receive(frame("11"));
    expect(await Promise.all([slow, quick])).toEqual(["00", "11"]);
  });
});
