/** A breakpoint at ExitBootServices by name, in a guest whose firmware shows no tables: that it is found is seen on a real guest. */
import { expect, it } from "vitest";
import { failure } from "../support/failure.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { FakeTarget } from "../support/fake-target.ts";
import { bridged } from "./support.ts";

const T1 = { target: "t1" };
const BY_NAME = { ...T1, service: "ExitBootServices" } as const;

async function attached() {
  const target = new FakeTarget(new FakeMemory(), []);
  const all = await bridged({ 1: target });
  await all.call("Target.attach", { gdb: "localhost:1" });
  return { ...all, target };
}

it("takes an address or a service, not both and not neither", async () => {
  const { call } = await attached();
  expect(await failure(call("Breakpoint.insert", T1))).toMatchObject({ code: "usage" });
  expect(await failure(call("Breakpoint.insert", { ...BY_NAME, address: "0x40000000" }))).toMatchObject({
    code: "usage",
  });
  expect(await call("Breakpoint.list", T1)).toEqual([]);
});

it("gives up in time, and the guest stands still again with the breakpoints of others in", async () => {
  const { call, target } = await attached();
  await call("Breakpoint.insert", { ...T1, address: "0x40000100" });
  expect(await failure(call("Breakpoint.insert", { ...BY_NAME, findTimeout: 0.1 }))).toMatchObject({
    code: "no-system-table",
  });
  expect(target.running).toBe(false);
  expect(await call("Target.status", T1)).toMatchObject({ state: "stopped", capture: null });
  expect(await call("Breakpoint.list", T1)).toMatchObject([{ address: "0x40000100" }]);
});

it("keeps others away while it searches, and ends when it is cancelled", async () => {
  const { call, target } = await attached();
  const cancel = new AbortController();
  const searching = failure(call("Breakpoint.insert", { ...BY_NAME, findTimeout: 60 }, cancel.signal));
  await new Promise((resolve) => setImmediate(resolve));
  expect(await failure(call("Target.step", T1))).toMatchObject({
    code: "target-busy",
    message: expect.stringContaining("a search for ExitBootServices has it"),
  });
  cancel.abort();
  expect(await searching).toMatchObject({ code: "interrupted" });
  expect(target.running).toBe(false);
  expect(await call("Target.status", T1)).toMatchObject({ state: "stopped" });
});

it("is refused in a guest that runs", async () => {
  const { call } = await attached();
  await call("Target.resume", T1);
  expect(await failure(call("Breakpoint.insert", BY_NAME))).toMatchObject({ code: "target-running" });
});
