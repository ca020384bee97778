/** The examples and the code in docs/client.md, run as users run them, against a server over fakes. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CaptureJson } from "../../src/api/protocol.ts";
import type { NewEvent } from "../../src/bridge/ports.ts";
import type { Handlers } from "../../src/server/handlers.ts";
import { MemoryLog, progressEvent } from "../server/support/memory-log.ts";
import { CAPTURE, eventually, fakeHandlers, TARGET } from "../server/support/serve.ts";
import { type Served, serve } from "./support.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let served: Served;
let log: MemoryLog;
let folder: string;
let program: ChildProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-examples-"));
  log = new MemoryLog();
});
afterEach(async () => {
  program?.kill("SIGKILL");
  await served.end();
  await rm(folder, { recursive: true });
});

interface Started {
  out: string;
  err: string;
  readonly ended: Promise<number | null>;
}

/** A program in TypeScript, with the address and the token in its environment. */
function start(script: string, args: readonly string[]): Started {
  const env = { ...process.env, EBSCOPE_URL: served.url, EBSCOPE_TOKEN: served.tokens().control };
  const child = spawn(process.execPath, ["--import", "tsx", script, ...args], { cwd: ROOT, env });
  program = child;
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const started: Started = { out: "", err: "", ended };
  child.stdout.on("data", (chunk) => {
    started.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    started.err += chunk;
  });
  return started;
}

const CHANGE: NewEvent = {
  ...{ kind: "registers.changed", target: "t1", capture: null },
  data: {
    registers: [
      {
        ...{ cpu: 1, name: "SCTLR_EL1", before: "0x0", after: "0x1", class: "control" },
        fields: [{ name: "M", before: "0x0", after: "0x1", meaning: "on" }],
      },
      { cpu: 0, name: "\u001b[2J\u202ex", before: null, after: "0x2", class: "other", fields: [] },
    ],
  },
};

describe("examples/stream-register-diffs.ts", () => {
  it("prints a line for each register, safe to print, and goes on when the connection comes back", async () => {
    served = await serve({ log, keepTokens: true });
    log.appendAll([progressEvent("x"), CHANGE]);
    const started = start("examples/stream-register-diffs.ts", ["--after", "0"]);
    await eventually(() => started.out.split("\n").length > 2);
    served.line.cut();
    log.appendAll([CHANGE]);
    await eventually(() => started.out.split("\n").length > 4);
    const lines = (seq: number): string =>
      `${seq} t1 cpu1 SCTLR_EL1: 0x0 → 0x1  M 0x0 → 0x1 (on)\n${seq} t1 cpu0 \\x1b[2J\\u{202e}x: null → 0x2\n`;
    expect(started.out).toBe(lines(2) + lines(3));
    expect(started.err).toMatch(/was lost: closed with 1006; connecting again\n$/);
  });
});

describe("examples/wait-for-handoff.ts", () => {
  function point(kind: "before" | "after" | "fault"): CaptureJson["points"][number] {
    const pages = { present: 1, absent: 0, unreadable: 0 };
    return { id: kind, kind, pc: "0x0", cpu: 0, time: CAPTURE.createdAt, complete: true, regimes: [], pages };
  }

  /** A guest whose capture ends so, and the calls that were made for it. */
  function guestWith(ending: Partial<CaptureJson>): { handlers: Handlers; calls: string[] } {
    const calls: string[] = [];
    const ended: CaptureJson = { ...CAPTURE, target: "t1", ...ending };
    const handlers: Handlers = {
      ...fakeHandlers(),
      "Target.attach": async ({ gdb }) => {
        calls.push(`attach ${gdb}`);
        return TARGET;
      },
      "Target.detach": async ({ target }) => {
        calls.push(`detach ${target}`);
        return { running: true };
      },
      "Capture.start": async ({ watch }) => {
        calls.push(`capture, watching ${watch}`);
        const of = { target: "t1", capture: "c1" };
        log.appendAll([
          progressEvent("waiting \u001b[31m"),
          { ...of, kind: "capture.completed", data: { points: ["before"], faulted: true } },
        ]);
        return { ...ended, state: "running", points: [] };
      },
      "Capture.wait": async () => ended,
    };
    return { handlers, calls };
  }

  it.each<[number, Partial<CaptureJson>]>([
    [0, { points: [point("before"), point("after")] }],
    [1, { points: [point("before"), point("fault")] }],
    [3, { points: [point("before"), point("after"), point("fault")] }],
    [4, { points: [], error: { code: "timed-out", message: "no call" } }],
    [1, { points: [point("before"), point("after")], error: { code: "timed-out", message: "no call" } }],
  ])("ends with %s as `ebscope capture` does, having left the guest", async (code, ending) => {
    const { handlers, calls } = guestWith(ending);
    served = await serve({ log, handlers });
    const started = start("examples/wait-for-handoff.ts", ["--gdb", "h:1", "--watch", "5"]);
    expect(await started.ended).toBe(code);
    expect(started.out).toBe("error: It \\u{202e}died\\x1b[31m\n");
    expect(started.err).toBe(`waiting \\x1b[31m\n${ending.error === undefined ? "" : "no call [timed-out]\n"}`);
    expect(calls).toEqual(["attach h:1", "capture, watching 5", "detach t1"]);
  });

  it("ends with 1 and what to do when the bridge cannot attach", async () => {
    served = await serve({ log });
    const started = start("examples/wait-for-handoff.ts", ["--gdb", "h:1"]);
    expect(await started.ended).toBe(1);
    expect(started.err).toMatch(/^Cannot call "Target.attach".*\n {2}→ .* \[usage\]\n$/);
  });
});

describe("docs/client.md", () => {
  it("has code that runs: that in its text, piece by piece", async () => {
    const about = { target: "t1", capture: "c1" };
    const write = {
      event: 1,
      kind: "table",
      cpu: 0,
      pc: "0x1000",
      address: "0x47fff000",
      old: "0x1",
      new: "0x2",
    } as const;
    const handlers: Handlers = {
      ...fakeHandlers(),
      "Capture.start": async () => {
        const writes = [{ ...write, name: null, image: "CpuDxe+0x2638" }];
        log.appendAll([
          { ...about, kind: "blame.write", data: { writes, total: 1 } },
          { ...about, kind: "capture.completed", data: { points: [], faulted: false } },
        ]);
        return CAPTURE;
      },
    };
    served = await serve({ log, handlers });
    log.appendAll([1, 2, 3].map(() => progressEvent("x")));
    const text = await readFile(join(ROOT, "docs/client.md"), "utf8");
    const pieces = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = ""]) => code);
    expect(pieces.length).toBeGreaterThan(5);
    const token = join(folder, "control.token");
    await writeFile(token, served.tokens().control ?? "");
    // What stands in the text for a bridge of the reader's is the one of this test here.
    const code = pieces.map((each, index) => `{\n${each}\nconsole.log("piece ${index}");\n}`).join("\n");
    const own = `{ url: ${JSON.stringify(served.url)}, tokenFile: ${JSON.stringify(token)} }`;
    const script = join(folder, "pieces.ts");
    await writeFile(
      script,
      `import { BridgeError, connect } from "ebscope/client";\nconst client = await connect(${own});\n${code.replace(/connect\(\{.*?\}\)/g, `connect(${own})`)}\nawait client.close();\n`,
    );
    await writeFile(join(folder, "package.json"), '{"type":"module"}');
    const started = start(script, []);
    expect(await started.ended, started.err).toBe(0);
    expect(started.out.match(/piece \d/g)).toEqual(pieces.map((_, index) => `piece ${index}`));
    expect(started.out).toContain("TimeoutError\n");
    expect(started.out).toContain("3 capture.progress\n");
    expect(started.out).toContain("table 0x47fff000 0x1 → 0x2 by CpuDxe+0x2638\n");
    expect(started.err).toContain("Cannot read the capture none");
  });
});
