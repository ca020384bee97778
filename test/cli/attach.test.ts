/** `ebscope attach`, in this process: what it prints of a guest, and how it leaves it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Check } from "typebox/schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EventJson } from "../../src/api/events.ts";
import { type AttachFlags, attachCommand } from "../../src/cli/commands/attach.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { Client, eventually } from "../server/support/serve.ts";
import { failure } from "../support/failure.ts";
import { reply, type ScriptedStub, startStub } from "../support/scripted-stub.ts";
import { held, terminal } from "./held.ts";

const printed = terminal();
let stub: ScriptedStub;
let gdb = "";
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-attach-"));
  stub = await startStub({ running: true, cpus: 1 });
  gdb = stub.address.kind === "unix" ? `unix:${stub.address.path}` : "";
});
afterEach(async () => {
  await stub.close();
  await rm(folder, { recursive: true, force: true });
});

/** SCTLR_EL1 with the MMU on, as the stub's other register values are. */
const MMU_ON = reply("57000000000000a0");
const stoppedAgain = (): boolean => /stopped.*\n.*SCTLR/s.test(printed.out);

function attach(more: Partial<AttachFlags> = {}): Promise<number> {
  return attachCommand(gdb, { port: 0, listen: "127.0.0.1", data: folder, ...more }, []);
}

/** Stops the guest as soon as it runs, with another SCTLR_EL1 than before. */
async function stopChanged(): Promise<void> {
  await eventually(() => stub.running);
  stub.rescript({ answer: (request) => (request === "p56" ? MMU_ON : undefined) });
  stub.stop();
}

/** Lines without their times. */
function lines(): string[] {
  return printed.out
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d{3} {2}/, ""));
}

describe("ebscope attach", () => {
  it("prints each stop and what it changed, and leaves the guest as it was found", async () => {
    const before = process.listenerCount("SIGINT");
    const code = await held(
      attach({ run: true }),
      () => printed.out.includes("runs"),
      async () => {
        await stopChanged();
        await eventually(stoppedAgain);
        expect(stub.running).toBe(false);
      },
    );
    expect(code).toBe(0);
    expect(stub.running).toBe(true);
    expect(lines()).toEqual([
      `t1  attached to ${gdb}: QEMU 7.2.22, 1 vCPU`,
      "t1  stopped at 0xa000000000000020 on vCPU 0, when it was attached to",
      "t1  runs",
      "t1  stopped at 0xa000000000000020 on vCPU 0, at a breakpoint",
      "t1  vCPU 0  SCTLR_EL1  0xa000000000000056 → 0xa000000000000057  M 0x0 → 0x1 (MMU on)",
      "t1  let go, running",
    ]);
    expect(process.listenerCount("SIGINT")).toBe(before);
  });

  it("holds the guest without --run, and says so", async () => {
    await held(
      attach(),
      () => printed.err.includes("stands still"),
      async () => {
        expect(stub.running).toBe(false);
      },
    );
    expect(stub.running).toBe(true);
  });

  it("prints one event a line with --json", async () => {
    await held(
      attach({ run: true, json: true }),
      () => printed.out.includes("target.resumed"),
      async () => {
        await stopChanged();
        await eventually(() => printed.out.includes("registers.changed"));
      },
    );
    const events = printed.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const event of events) expect(Check(EventJson as never, event)).toBe(true);
    const stop = ["target.stopped", "registers.changed"];
    expect(events.map(({ kind }) => kind)).toEqual([
      ...["target.attached", "target.stopped", "target.resumed", ...stop, "target.detached"],
    ]);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("ends with the error when the guest is lost", async () => {
    const verb = attach({ run: true });
    const lost = failure(verb);
    await eventually(() => printed.out.includes("runs"));
    stub.hangUp();
    expect(await lost).toMatchObject({
      code: "connection-lost",
      message: expect.stringMatching(/^Cannot follow the guest/),
    });
    expect(lines().at(-1)).toMatch(/^t1 {2}lost: .* \[connection-lost\]$/);
  });

  it("ends quietly when it is stopped before the guest has answered", async () => {
    stub.rescript({ answer: () => ({ kind: "silence" }) });
    expect(
      await held(
        attach(),
        () => stub.sessions.length > 0,
        async () => undefined,
      ),
    ).toBe(1);
    expect(printed.out).toBe("");
    expect(printed.err).toMatch(/^stopping: .*\n$/);
  });

  it.each([
    [["attach", "nonsense"], "Cannot read the stub address"],
    [["attach", "replay:session.txt"], "Cannot attach to a recording"],
    [["attach", "localhost:1", "--data", "x"], "Cannot use --data: nothing is served"],
    [["attach", "localhost:1", "--allow-remote"], "Cannot use --allow-remote: nothing is served"],
  ])("refuses %j", async (args, message) => {
    const error = await failure(buildProgram(() => undefined).parseAsync(args, { from: "user" }));
    expect([error.code, error.message]).toEqual(["usage", expect.stringContaining(message)]);
  });

  it("leaves the guest as it was found when nobody reads what it prints", async () => {
    const options = ["--import", "tsx", "src/cli/main.ts", "attach", gdb, "--run"];
    const child = spawn(process.execPath, options, { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const ended = once(child, "exit");
      let out = "";
      for await (const chunk of child.stdout) {
        out += String(chunk);
        if (out.includes("runs")) break;
      }
      child.stdout.destroy();
      await eventually(() => stub.running);
      stub.stop();
      expect(await ended).toEqual([0, null]);
      expect(stub.running).toBe(true);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describe("ebscope attach --serve", () => {
  const serving = (): boolean => printed.out.includes("try: ");

  async function client(): Promise<Client> {
    const [, url = ""] = /(ws:[^\s"]+)/.exec(printed.out) ?? [];
    return Client.open(url, (await readFile(join(folder, "control.token"), "utf8")).trim());
  }

  it("shares the guest, and prints what others do with it", async () => {
    await held(attach({ serve: true }), serving, async () => {
      const other = await client();
      expect((await other.call("Target.list")).result).toMatchObject([{ target: "t1", gdb, state: "stopped" }]);
      await other.call("Target.resume", { target: "t1" });
      await stopChanged();
      await eventually(stoppedAgain);
      expect((await other.call("Target.status", { target: "t1" })).result.state).toBe("stopped");
    });
    expect(stub.running).toBe(true);
    expect(lines().filter((line) => line.startsWith("t1"))).toEqual([
      `t1  attached to ${gdb}: QEMU 7.2.22, 1 vCPU`,
      "t1  stopped at 0xa000000000000020 on vCPU 0, when it was attached to",
      "t1  runs",
      "t1  stopped at 0xa000000000000020 on vCPU 0, at a breakpoint",
      expect.stringContaining("SCTLR_EL1"),
      "t1  let go, running",
    ]);
  });

  it("goes on when the guest is lost, and takes it back when it is there again", async () => {
    await held(attach({ serve: true }), serving, async () => {
      stub.hangUp();
      await eventually(() => printed.out.includes("lost: "));
      const other = await client();
      expect((await other.call("Target.attach", { gdb })).result).toMatchObject({ target: "t2", state: "stopped" });
    });
    // It stood still when it was lost.
    expect(lines().at(-1)).toBe("t2  let go, standing still");
  });

  it("prints where it serves before the events with --json, one object a line", async () => {
    await held(
      attach({ serve: true, json: true }),
      () => printed.out.includes("target.stopped"),
      async () => undefined,
    );
    const [where, ...events] = printed.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const tokens = { control: join(folder, "control.token"), read: join(folder, "read.token") };
    expect(where).toEqual({ urls: [expect.stringMatching(/^ws:/)], tokens, data: folder });
    expect(events.map(({ kind }) => kind)).toEqual(["target.attached", "target.stopped", "target.detached"]);
  });

  it("ends with the error when the guest cannot be attached to, before it says that it serves", async () => {
    gdb = "127.0.0.1:1";
    expect(await failure(attach({ serve: true }))).toMatchObject({ code: "connect-failed" });
    expect(printed.out).toBe("");
  });
});
