/** Stubs that mean harm: what they do is told in time, costs little, and the next session with a good one works. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { captureNow } from "../../src/capture/now.ts";
import type { StubAddress } from "../../src/rsp/transport.ts";
import { type AttachOptions, attachQemu } from "../../src/target/qemu.ts";
import type { HostileAnswer, HostileRequest } from "../support/hostile-server.ts";
import { ATTACH_MS, DEADLINE_MS, HOSTILE_STUBS, type HostileStub } from "../support/hostile-stubs.ts";
import { reply, startStub } from "../support/scripted-stub.ts";

const MEBIBYTE = 1 << 20;
const OPTIONS: AttachOptions = { deadlineMs: DEADLINE_MS, attachMs: ATTACH_MS, memory: "rsp" };

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

let server: ChildProcess;
const rejections: unknown[] = [];
const onRejection = (reason: unknown): void => void rejections.push(reason);

function told<T>(): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("the server of hostile stubs has ended"));
    server.once("exit", ended);
    server.once("message", (message: T) => {
      server.off("exit", ended);
      resolve(message);
    });
  });
}

async function serve(name: string | undefined): Promise<StubAddress> {
  const answer = told<HostileAnswer>();
  server.send({ serve: name } as HostileRequest);
  return (await answer).address;
}

/** Attaches and takes a snapshot; where that ended, and how. */
async function session(address: StubAddress, options: AttachOptions) {
  const target = await attachQemu(address, options).catch((error: unknown) => ({ error }));
  if ("error" in target) return { when: "attach", error: target.error, capture: undefined };
  const { error, capture } = await captureNow(target, "test");
  await target.release(false);
  return { when: "snapshot", error, capture };
}

/** The most memory that this process has while `work` is done, above what it had before. */
async function growth<T>(work: () => Promise<T>): Promise<{ result: T; bytes: number }> {
  collectGarbage();
  const before = process.memoryUsage.rss();
  let most = before;
  const look = (): void => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 5);
  const result = await work().finally(() => clearInterval(timer));
  look();
  return { result, bytes: most - before };
}

beforeAll(async () => {
  process.on("unhandledRejection", onRejection);
  const path = fileURLToPath(new URL("../support/hostile-server.ts", import.meta.url));
  server = fork(path, { execArgv: ["--import", "tsx"] });
  await told();
  // What the first session ever needs is nobody's harm.
  await session(await serve("good"), OPTIONS);
}, 60_000);

afterAll(() => {
  process.off("unhandledRejection", onRejection);
  server.disconnect();
});

describe("a stub that", () => {
  it.each(Object.entries(HOSTILE_STUBS))(
    "%s",
    async (name, hostile: HostileStub) => {
      const address = await serve(name);
      const started = performance.now();
      const { result, bytes } = await growth(() => session(address, OPTIONS));
      const took = performance.now() - started;
      expect(result.error).toBeInstanceOf(EbscopeError);
      const { code, message } = result.error as EbscopeError;
      expect(hostile.codes, message).toContain(code);
      expect(message).toContain(hostile.says ?? "");
      expect(result.when).toBe(hostile.when);
      expect(took).toBeLessThan((hostile.slow ? ATTACH_MS : DEADLINE_MS) + 1000);
      expect(bytes).toBeLessThan(64 * MEBIBYTE);
      expect(rejections).toEqual([]);
      const good = await session(await serve(undefined), { ...OPTIONS, deadlineMs: 5000, attachMs: 30_000 });
      expect(good).toMatchObject({ when: "snapshot", error: undefined });
      expect(good.capture).toBeDefined();
    },
    30_000,
  );
});

describe("a stub that is merely odd", () => {
  it("answers for SVE's predicates with whole words, as QEMU does: they are unreadable, the others are read", async () => {
    const predicate = '<feature name="org.gnu.gdb.aarch64.sve"><reg name="p0" bitsize="32" regnum="400"/></feature>';
    const answer = (request: string) => {
      if (request.startsWith("qXfer:features:read:system-registers.xml:")) return reply(`l${predicate}`);
      return request === "p190" ? reply("0".repeat(16)) : undefined;
    };
    const stub = await startStub({ script: { answer } });
    const target = await attachQemu(stub.address, { memory: "rsp" });
    const [row = []] = await target.readRegisters(target.info.cpus, target.info.registers);
    await target.release(false);
    await stub.close();
    const odd = target.info.registers.filter((_, i) => row[i]?.state !== "present").map(({ name }) => name);
    expect(odd).toEqual(["p0"]);
  });
});
