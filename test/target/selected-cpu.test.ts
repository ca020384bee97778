/** Which vCPU is asked about, and when the stub has to be told. */
import { afterEach, describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import { attachQemu } from "../../src/target/qemu.ts";
import type { Cpu, Target } from "../../src/target/target.ts";
import { reply, type ScriptedStub, type StubOptions, startStub } from "../support/scripted-stub.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

const FIRST = { index: 0, thread: "01" };
const SECOND = { index: 1, thread: "02" };

/** Of two vCPUs, stopped with these words. */
async function stopped(words: string, options: StubOptions = {}): Promise<{ stub: ScriptedStub; target: Target }> {
  const stub = await startStub({ cpus: 2, ...options });
  cleanup.push(() => stub.close());
  const target = await attachQemu(stub.address);
  cleanup.push(() => target.release(false));
  await stopAgain(stub, target, words);
  return { stub, target };
}

async function stopAgain(stub: ScriptedStub, target: Target, words: string): Promise<void> {
  stub.rescript({ onResume: () => stub.stop(words) });
  await target.resume();
  await target.waitForStop();
}

/** What is sent to read one byte as each of these vCPUs sees it, one after the other. */
async function sentFor(stub: ScriptedStub, target: Target, ...cpus: readonly Cpu[]): Promise<string[]> {
  const from = stub.session.requests.length;
  for (const cpu of cpus) await target.readVirtual(cpu, [{ address: virt(0x10), length: 1 }]);
  return stub.session.requests.slice(from);
}

describe("a vCPU that has just stopped", () => {
  it.each(["T05thread:02;", "T05thread:02;watch:2000;"])("is not selected again after %s", async (words) => {
    const { stub, target } = await stopped(words);
    expect(await sentFor(stub, target, SECOND, SECOND)).toEqual(["m10,1", "m10,1"]);
  });

  it("is selected again once another one was", async () => {
    const { stub, target } = await stopped("T05thread:02;");
    expect(await sentFor(stub, target, FIRST, SECOND)).toEqual(["Hg01", "m10,1", "Hg02", "m10,1"]);
    await stopAgain(stub, target, "T05thread:02;");
    expect(await sentFor(stub, target, SECOND)).toEqual(["m10,1"]);
  });

  it.each(["T02thread:02;", "T05", "S05"])("is selected after %s, which tells of no vCPU's own stop", async (words) => {
    const { stub, target } = await stopped(words);
    expect(await sentFor(stub, target, SECOND)).toEqual(["Hg02", "m10,1"]);
  });

  it("is selected when the guest was not resumed after all", async () => {
    const { stub, target } = await stopped("T05thread:02;");
    await expect(stopAgain(stub, target, "E22")).rejects.toThrow("resume");
    expect(await sentFor(stub, target, SECOND)).toEqual(["Hg02", "m10,1"]);
  });

  it("is selected where the stub does not say that it is QEMU's", async () => {
    const version = `qRcmd,${Buffer.from("info version").toString("hex")}`;
    const answer = (request: string) => (request === version ? reply("") : undefined);
    const { stub, target } = await stopped("T05thread:02;", { script: { answer } });
    expect(target.info.qemuVersion).toBeUndefined();
    expect(await sentFor(stub, target, SECOND)).toEqual(["Hg02", "m10,1"]);
  });
});
