/** Real guests, driven through a bridge alone, as three kinds of clients see them: ours in Node and in Chromium, and one in Python. */
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BridgeEvent, EventKind } from "../../src/api/events.ts";
import type { Result } from "../../src/api/protocol.ts";
import { type Client, connect } from "../../src/client/index.ts";
import { openPage } from "../support/chromium.ts";
import { ebscopeJson, Guest, HANDOFF, start, temporaryFolder } from "../support/live.ts";
import { Follower, type LiveBridge, PYTHON, pythonReader, servePage, startBridge } from "../support/live-bridge.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** What QEMU itself says of the vCPU: `PC`, `SP`, `X00` to `X30`, in hex. */
async function witnessed(guest: Guest): Promise<Record<string, bigint>> {
  const text = await guest.monitor("info registers");
  const pairs = [...text.matchAll(/\b(PC|SP|X\d\d)=([0-9a-f]{16})/g)];
  return Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, BigInt(`0x${value}`)]));
}

/** The events of a client in order, and waiting for one of a kind. */
class Seen {
  readonly events: BridgeEvent[] = [];
  readonly done: Promise<void>;
  readonly #wanted: { kind: EventKind; after: number; resolve: (event: BridgeEvent) => void }[] = [];

  constructor(client: Client, last: EventKind) {
    this.done = this.#read(client, last);
  }

  get head(): number {
    return this.events.at(-1)?.seq ?? 0;
  }

  /** The first of a kind behind a sequence number. */
  next<K extends EventKind>(kind: K, after: number): Promise<BridgeEvent<K>> {
    const there = this.events.find((event) => event.kind === kind && event.seq > after);
    if (there !== undefined) return Promise.resolve(there as BridgeEvent<K>);
    return new Promise((resolve) => {
      this.#wanted.push({ kind, after, resolve: (event) => resolve(event as BridgeEvent<K>) });
    });
  }

  of<K extends EventKind>(kind: K): BridgeEvent<K>[] {
    return this.events.filter((event) => event.kind === kind) as unknown as BridgeEvent<K>[];
  }

  async #read(client: Client, last: EventKind): Promise<void> {
    for await (const event of client.events({ after: 0 })) {
      this.events.push(event);
      for (const { kind, after, resolve } of this.#wanted) if (event.kind === kind && event.seq > after) resolve(event);
      if (event.kind === last) return;
    }
  }
}

/** In a page: the client reads all events up to the first of a kind. */
function readInPage(bridge: LiveBridge, last: EventKind): string {
  const options = JSON.stringify({ url: bridge.url, token: bridge.read });
  return `(async () => {
    const { connect } = await import("/src/client/browser.js");
    const client = await connect(${options});
    const events = [];
    for await (const event of client.events({ after: 0 })) {
      events.push(event);
      if (event.kind === ${JSON.stringify(last)}) break;
    }
    await client.close();
    return events;
  })()`;
}

describe("a guest that only a bridge is attached to", () => {
  let bridge: LiveBridge;
  let guest: Guest;
  let seen: Seen;
  let capture: Result<"Capture.wait">;
  let diff: Result<"Capture.diff">;
  let findings: Result<"Capture.findings">;
  let inPython: BridgeEvent[];
  let inChromium: BridgeEvent[];
  const steps: { told: string | null | undefined; witness: bigint | undefined }[] = [];
  let atCall: { witness: Record<string, bigint>; changes: BridgeEvent<"registers.changed">; pc: string | null };
  let x0: Result<"Registers.get">;
  let code: Result<"Memory.read">;
  let entry: string;
  let statusAtEnd: string;

  beforeAll(async () => {
    await using page = await servePage();
    bridge = await startBridge(join(folder.path, "one"), "--allow-host", page.host);
    guest = await new Guest({ kernel: HANDOFF, append: "mode=boot-service" }, true).listening();
    const python = pythonReader(bridge, "target.detached");
    await using tab = await openPage(page.origin);
    const chromium = tab.evaluate<BridgeEvent[]>(readInPage(bridge, "target.detached"));
    await using client = await connect({ url: bridge.url, token: bridge.control });
    seen = new Seen(client, "target.detached");

    const { target } = await client.Target.attach({ gdb: guest.address });
    for (let i = 0; i < 3; i++) {
      const { stop } = await client.Target.step({ target });
      steps.push({ told: stop?.pc, witness: (await witnessed(guest)).PC });
    }
    const inserted = await client.Breakpoint.insert({ target, service: "ExitBootServices", findTimeout: 60 });
    entry = inserted.address;
    await client.Registers.watch({ target, mappings: true });
    const { head } = seen;
    await client.Target.resume({ target });
    const { seq, data } = await seen.next("target.stopped", head);
    atCall = { witness: await witnessed(guest), changes: await seen.next("registers.changed", seq), pc: data.pc };
    x0 = await client.Registers.get({ target, names: ["x0"] });
    code = await client.Memory.read({ target, address: entry, length: 16 });
    const { capture: id } = await client.Capture.start({ target, watch: 2 });
    capture = await client.Capture.wait({ capture: id });
    diff = await client.Capture.diff({ capture: id });
    findings = await client.Capture.findings({ capture: id });
    await client.Target.detach({ target });
    await seen.done;
    statusAtEnd = await guest.status();
    const { stdout, stderr } = await python.finished;
    if (stdout === "") throw new Error(`the Python client printed nothing:\n${stderr}`);
    inPython = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    inChromium = await chromium;
  });

  afterAll(async () => {
    await guest[Symbol.asyncDispose]();
    await bridge[Symbol.asyncDispose]();
  });

  it("stands, at each step, where QEMU says", () => {
    expect(steps.map(({ told }) => BigInt(told ?? -1))).toEqual(steps.map(({ witness }) => witness));
    expect(new Set(steps.map(({ told }) => told)).size).toBe(3);
  });

  it("stops at ExitBootServices, and the changed registers are as QEMU has them", () => {
    expect(atCall.pc).toBe(entry);
    const { witness, changes } = atCall;
    expect(witness.PC).toBe(BigInt(entry));
    const general = changes.data.registers.filter(({ name }) => /^(x\d+|sp|pc)$/.test(name));
    expect(general.length).toBeGreaterThan(5);
    const inQemu = (name: string) => witness[name.toUpperCase().replace(/^X(\d)$/, "X0$1")];
    expect(general.map(({ name, after }) => [name, BigInt(after ?? -1)])).toEqual(
      general.map(({ name }) => [name, inQemu(name)]),
    );
    expect(BigInt(x0[0]?.value ?? -1)).toBe(witness.X00);
  });

  it("shows its memory as QEMU's monitor reads it", async () => {
    const bytes = Buffer.from(code.bytes ?? "", "base64");
    expect(bytes).toHaveLength(16);
    // The code of the firmware stays where it is, and is mapped one to one.
    const text = await guest.monitor(`xp /4wx ${entry}`);
    const words = [...text.matchAll(/0x([0-9a-f]{8})\b/g)].map(([, word]) => Number.parseInt(word ?? "", 16));
    expect([0, 4, 8, 12].map((at) => bytes.readUInt32LE(at))).toEqual(words);
  });

  it("is captured: the same JSON as the command line prints of the file, and as HTTP answers", async () => {
    expect(capture).toMatchObject({ state: "complete", error: null });
    expect(capture.points.map(({ id }) => id)).toEqual(["before", "after", "fault"]);
    const file = join(folder.path, "one.ebs");
    const path = `/captures/${capture.capture}`;
    writeFileSync(file, Buffer.from(await (await bridge.get(`${path}/file`)).arrayBuffer()));
    expect(await ebscopeJson("diff", file)).toEqual(diff);
    expect(await ebscopeJson("show", file, "findings")).toEqual(findings);
    expect(await (await bridge.get(`${path}/diff`)).json()).toEqual(diff);
    expect(await (await bridge.get(`${path}/findings`)).json()).toEqual(findings);
    expect(findings[0]?.rule).toBe("service-called-after-exit");
    expect(seen.of("finding").map(({ data }) => data)).toEqual(findings);
  });

  it("shows the same events, in the same order, to our client in Node, to it in Chromium, and to one in Python", () => {
    expect(seen.events.map(({ seq }) => seq)).toEqual(seen.events.map((_, i) => i + 1));
    expect(seen.events.length).toBeGreaterThan(20);
    expect(inPython).toEqual(seen.events);
    expect(inChromium).toEqual(seen.events);
  });

  it("is told from attaching to detaching, with its registers, mappings and capture", () => {
    const kinds = seen.events.map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual(["bridge.started", "target.attached", "target.stopped"]);
    for (const kind of ["mappings.changed", "capture.started", "capture.progress", "capture.completed"]) {
      expect(kinds).toContain(kind);
    }
    expect(kinds.at(-1)).toBe("target.detached");
  });

  it("stands still after the bridge has let it go, as it was found", () => {
    // QEMU's word for a machine that a debugger halted.
    expect(statusAtEnd).toBe("debug");
  });
});

describe("guests of one bridge", () => {
  it("are told apart; one that dies is told to be lost, and the address can be attached again", async () => {
    await using bridge = await startBridge(join(folder.path, "several"));
    const stub = join(folder.path, "stub.sock");
    const gdb = `unix:${stub}`;
    await using first = await new Guest({ kernel: HANDOFF, append: "mode=clean" }, true).listening();
    await using other = await new Guest({ kernel: HANDOFF, append: "mode=clean", memory: 512 }, true).listening();
    symlinkSync(first.gdbPath, stub);
    await using client = await connect({ url: bridge.url, token: bridge.control });
    const seen = new Seen(client, "target.detached");
    const one = await client.Target.attach({ gdb });
    const two = await client.Target.attach({ gdb: other.address });
    expect(one.target).not.toBe(two.target);

    await client.Target.resume({ target: one.target });
    const { head } = seen;
    first.child.kill("SIGKILL");
    const lost = await seen.next("target.lost", head);
    expect(lost.target).toBe(one.target);
    expect(await client.Target.status({ target: one.target })).toMatchObject({
      state: "lost",
      error: { code: lost.data.code },
    });
    await expect(client.Target.resume({ target: one.target })).rejects.toMatchObject({ code: "connection-lost" });
    expect(await client.Target.status({ target: two.target })).toMatchObject({ state: "stopped", error: null });

    await using again = await new Guest({ kernel: HANDOFF, append: "mode=clean" }, true).listening();
    rmSync(stub);
    symlinkSync(again.gdbPath, stub);
    const back = await client.Target.attach({ gdb, run: true });
    expect(back).toMatchObject({ gdb, state: "running" });
    expect(await again.status()).toBe("running");
    const { capture } = await client.Capture.start({ target: back.target, watch: 1 });
    expect(await client.Capture.wait({ capture })).toMatchObject({ target: back.target, state: "complete" });
    expect(await again.status()).toBe("running");
    expect(await other.status()).toBe("prelaunch");
    expect(await bridge.stop()).toBe(0);
    // Both as they were found: none ran.
    expect([await again.status(), await other.status()]).toEqual(["paused", "prelaunch"]);
  });
});

describe("the examples", () => {
  it("follow a handoff as it happens, line by line the same in Python, and end as the capture does", async () => {
    await using bridge = await startBridge(join(folder.path, "examples"));
    await using guest = await new Guest({ kernel: HANDOFF, append: "mode=boot-service" }, true).listening();
    const from = ["--url", bridge.url, "--after", "0", "--token-file", bridge.files.read];
    using here = new Follower(process.execPath, "--import", "tsx", "examples/stream-register-diffs.ts", ...from);
    using python = new Follower(PYTHON, "-u", "examples/register_diffs.py", ...from);
    const access = ["--url", bridge.url, "--token-file", bridge.files.control];
    const handoff = start(process.execPath, [
      "--import",
      "tsx",
      "examples/wait-for-handoff.ts",
      "--gdb",
      guest.address,
      "--watch",
      "2",
      ...access,
    ]);
    const { code, stdout, stderr } = await handoff.finished;
    expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringMatching(/^it returned EFI_SUCCESS$/m) });
    expect(stdout).toMatch(/^error: kernel\+0x\w+ called gBS->Stall after ExitBootServices/);

    await using client = await connect({ url: bridge.url, token: bridge.read });
    const seen = new Seen(client, "target.detached");
    await seen.done;
    const changes = seen.of("registers.changed");
    const last = new RegExp(
      `^${changes.at(-1)?.seq} t1 cpu0 ${changes.at(-1)?.data.registers.at(-1)?.name}: .*\n`,
      "m",
    );
    await Promise.all([here.shows(last), python.shows(last)]);
    expect(here.stdout.trimEnd().split("\n")).toHaveLength(
      changes.reduce((n, { data }) => n + data.registers.length, 0),
    );
    expect(python.stdout).toBe(here.stdout);
  });
});
