/** Watching over the wire, with stubs that do not do as QEMU does: each ends within its deadline, with an error that says what it was. */
import { afterEach, describe, expect, it } from "vitest";
import { BlameWatch } from "../../../src/capture/blame/blame-watch.ts";
import { parseRange } from "../../../src/capture/blame/ranges.ts";
import type { EfiRoots } from "../../../src/snapshot/model.ts";
import { attachQemu } from "../../../src/target/qemu.ts";
import type { Target } from "../../../src/target/target.ts";
import { failure } from "../../support/failure.ts";
import { type Answer, reply, type Script, type ScriptedStub, startStub } from "../../support/scripted-stub.ts";
import { TARGET_XML } from "../../support/stub-machine.ts";

const DEADLINE_MS = 300;
const ADDRESS = "0x40000000";
const HIT = "T05thread:01;watch:40000000;";

let stub: ScriptedStub;
let target: Target;
afterEach(async () => {
  await target.release(true);
  await stub.close();
});

/** EL1 with translation off: cpsr 0x3c5, SCTLR_EL1 and TCR_EL1 0; MAIR_EL1 in the place of another. */
function registers(request: string): Answer | undefined {
  if (request.startsWith("qXfer:features:read:system-registers.xml:0,")) {
    return reply(`l${TARGET_XML["system-registers.xml"]?.replace("VBAR", "MAIR_EL1")}`);
  }
  if (request === "p21") return reply("c5030000");
  return request === "p56" || request === "p58" ? reply("0".repeat(16)) : undefined;
}

/** A guest whose memory at ADDRESS is watched, and that has come to `stop`. Translation is off there: addresses are physical ones. */
async function watching(script: Script, stop: string): Promise<{ blame: BlameWatch; handle: () => Promise<unknown> }> {
  stub = await startStub({ cpus: 1, script: { answer: registers } });
  target = await attachQemu(stub.address, { deadlineMs: DEADLINE_MS, memory: "rsp" });
  const blame = new BlameWatch(target, { ranges: [parseRange(ADDRESS)] }, { onNote: () => undefined });
  await blame.watchRanges({} as EfiRoots);
  stub.rescript({
    ...script,
    answer: (request, index) => script.answer?.(request, index) ?? registers(request),
    onResume: (request) => (request === "c" ? stub.stop(stop) : script.onResume?.(request)),
  });
  await target.resume();
  const found = await target.waitForStop();
  if (found.kind === "ended") throw new Error(found.why);
  return { blame, handle: () => blame.handle(found) };
}

describe("a stub", () => {
  it("that has no answer to a step and none to an interrupt is silent", async () => {
    const { handle } = await watching({ deaf: true }, HIT);
    const started = performance.now();
    expect(await failure(handle())).toMatchObject({ code: "stub-silent" });
    expect(performance.now() - started).toBeLessThan(10 * DEADLINE_MS);
  });

  it("that has no answer to a step but stops when interrupted: nothing is claimed", async () => {
    const { handle, blame } = await watching({}, HIT);
    expect(await handle()).toBe("stuck");
    expect(blame.record().events).toEqual([]);
  });

  it("that does not give a watchpoint back has refused", async () => {
    const script: Script = {
      answer: (request) => (request.startsWith("z2") ? reply("E22") : undefined),
      onResume: () => setImmediate(() => stub.stop("T05thread:01;")),
    };
    const { handle } = await watching(script, HIT);
    expect(await failure(handle())).toMatchObject({ code: "stub-refused" });
  });

  it("that names a watchpoint which is none of ours: nothing is claimed, nothing is written to it", async () => {
    const step = { onResume: () => setImmediate(() => stub.stop("T05thread:01;")) };
    const { handle, blame } = await watching(step, "T05thread:01;watch:deadbeef000;");
    expect(await handle()).toBe("stuck");
    expect(blame.record().events).toEqual([]);
    expect(stub.session.requests.filter((request) => /^[MXGP]/.test(request))).toEqual([]);
  });

  it("that names a vCPU which there is none of: nothing is claimed", async () => {
    const step = { onResume: () => setImmediate(() => stub.stop("T05thread:01;")) };
    const { handle, blame } = await watching(step, "T05thread:07;watch:40000000;");
    expect(await handle()).toBe("ran");
    expect(blame.record().events).toEqual([]);
  });

  it("is left without the watchpoint", async () => {
    await watching({ onResume: () => setImmediate(() => stub.stop("T05thread:01;")) }, HIT);
    expect(stub.breakpoints).toEqual(["2,40000000,8"]);
    await target.release(true);
    expect(stub.breakpoints).toEqual([]);
  });
});
