/** Captures by the bridge: of a guest that a test writes down, told as events, kept in the store, shown as the command line shows them. */
import { describe, expect, it, vi } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { fixture, run, withCapture } from "../cli/run.ts";
import { failure } from "../support/failure.ts";
import { FakeTarget, type Visit } from "../support/fake-target.ts";
import { buildFirmware } from "../support/firmware.ts";
import { DXE_CORE, EXIT_BOOT_SERVICES, EXIT_CALLER, exitBootServices, STACK } from "../support/handoff-target.ts";
import { type Bridged, bridged, told } from "./support.ts";

const T1 = { target: "t1" };
/** Nothing comes after the call: the watch is over soon. */
const HANDOFF = { ...T1, watch: 0.01 };

interface Attached extends Bridged {
  readonly target: FakeTarget;
}

async function attached(visits: readonly Visit[], run = true): Promise<Attached> {
  const { memory } = buildFirmware([DXE_CORE]);
  for (const page of [EXIT_CALLER, STACK, 0x4740_0000n]) memory.bytes(page & ~0xfffn);
  memory.write(EXIT_CALLER - 4n, Uint8Array.of(0, 0, 0, 0x94));
  const target = new FakeTarget(memory, []);
  const all = await bridged({ 1: target });
  await all.call("Target.attach", { gdb: ":1", run });
  target.later(...visits);
  return { ...all, target };
}

async function captured(all: Attached, request = HANDOFF as Parameters<typeof all.bridge.captures.start>[1]) {
  const { capture } = await all.call("Capture.start", request);
  return all.call("Capture.wait", { capture });
}

const SUCCEEDS = exitBootServices(7n);

describe("a capture of the handoff", () => {
  it("is begun at once, told as it goes, and complete in the end", async () => {
    const all = await attached(SUCCEEDS);
    const begun = await all.call("Capture.start", HANDOFF);
    expect(begun).toMatchObject({ target: "t1", state: "running", size: null, points: [], error: null });
    const { capture } = begun;
    const ended = await all.call("Capture.wait", { capture });
    expect(ended).toMatchObject({
      ...{ capture, target: "t1", state: "complete", size: 1000, error: null },
      points: [{ id: "before" }, { id: "after" }, { id: "later" }],
    });
    const events = all.log.events.filter((event) => event.capture === capture);
    expect(events.every(({ target }) => target === "t1")).toBe(true);
    const kinds = events.map(({ kind }) => kind);
    expect(kinds[0]).toBe("capture.started");
    const completed = kinds.indexOf("capture.completed");
    expect(all.log.of("capture.completed")).toMatchObject([
      { data: { points: ["before", "after", "later"], faulted: false } },
    ]);
    expect(new Set(kinds.slice(1, completed))).toEqual(new Set(["capture.progress", "registers.changed"]));
    expect(new Set(kinds.slice(completed + 1))).toEqual(new Set(["finding"]));
    expect(all.log.of("capture.progress").map(({ data }) => data.text)).toContain("it returned EFI_SUCCESS");
  });

  it("tells what the call changed in the registers", async () => {
    const all = await attached(SUCCEEDS);
    await captured(all);
    const changes = all.log.of("registers.changed").filter(({ capture }) => capture !== null);
    const pcs = changes.map(({ data }) => data.registers.find(({ name }) => name === "pc"));
    expect(pcs.slice(0, 2)).toMatchObject([
      { after: `0x${EXIT_BOOT_SERVICES.toString(16)}` },
      { before: `0x${EXIT_BOOT_SERVICES.toString(16)}`, after: `0x${EXIT_CALLER.toString(16)}` },
    ]);
  });

  it("leaves the guest as it was: running, with the breakpoints of clients and no others", async () => {
    const all = await attached([], false);
    await all.call("Breakpoint.insert", { ...T1, address: "0x1000" });
    await all.call("Target.resume", T1);
    all.target.later(...SUCCEEDS);
    const from = all.log.events.length;
    await captured(all);
    expect(all.target.running).toBe(true);
    expect([...all.target.breakpoints]).toEqual([0x1000n]);
    expect(all.target.seen.every(({ breakpoints }) => !breakpoints.has(0x1000n))).toBe(true);
    expect(await all.call("Target.status", T1)).toMatchObject({ state: "running", capture: null });
    expect(all.log.kinds.slice(from).filter((kind) => kind.startsWith("target."))).toEqual([]);
    all.target.goOn({ pc: 0x1000n });
    expect((await told(all, "target.stopped", 2)).at(-1)).toMatchObject({ data: { pc: "0x1000", why: "breakpoint" } });
  });

  it("leaves a guest that stood still halted, and tells where it stands now", async () => {
    const all = await attached(SUCCEEDS, false);
    await captured(all);
    expect(all.target.running).toBe(false);
    expect([...all.target.breakpoints]).toEqual([]);
    expect(all.log.of("target.stopped").at(-1)).toMatchObject({
      ...{ target: "t1", capture: null },
      data: { pc: `0x${EXIT_CALLER.toString(16)}`, why: "interrupt" },
    });
  });

  it("has the guest for itself, but for who asks how it is", async () => {
    const all = await attached([]);
    const { capture } = await all.call("Capture.start", HANDOFF);
    const status = { target: "t1", state: "running", stop: null, capture };
    expect(await all.call("Target.status", T1)).toMatchObject(status);
    expect(await all.call("Target.list", {})).toMatchObject([status]);
    expect(await all.call("Breakpoint.list", T1)).toEqual([]);
    const refused = [
      all.call("Target.resume", T1),
      all.call("Target.interrupt", T1),
      all.call("Target.step", T1),
      all.call("Target.detach", T1),
      all.call("Breakpoint.insert", { ...T1, address: "0x1000" }),
      all.call("Registers.get", T1),
      all.call("Memory.read", { ...T1, address: "0x0", length: 1 }),
      all.call("PageTable.list", T1),
      all.call("Capture.start", T1),
    ];
    const codes = await Promise.all(refused.map(async (each) => (await failure(each)).code));
    expect(new Set(codes)).toEqual(new Set(["target-busy"]));
    await all.call("Capture.cancel", { capture });
    expect(await all.call("Target.interrupt", T1)).toMatchObject({ state: "stopped" });
  });

  it("that is cancelled before anything was captured failed", async () => {
    const all = await attached([]);
    const { capture } = await all.call("Capture.start", HANDOFF);
    await told(all, "capture.progress");
    expect(await all.call("Capture.cancel", { capture })).toMatchObject({
      state: "failed",
      error: { code: "interrupted" },
    });
    expect(all.log.of("capture.failed")).toMatchObject([{ capture, data: { code: "interrupted", partial: false } }]);
    expect(all.store.captures.size).toBe(0);
    const error = await failure(all.call("Capture.diff", { capture }));
    expect(error).toMatchObject({ code: "no-such-capture" });
    expect(await all.call("Capture.list", {})).toMatchObject([{ capture, state: "failed" }]);
    expect(all.target.running).toBe(true);
  });

  it("that is cancelled later keeps what was captured, as partial", async () => {
    const all = await attached(SUCCEEDS.slice(0, 1));
    const { capture } = await all.call("Capture.start", HANDOFF);
    await vi.waitFor(() =>
      expect(all.log.of("capture.progress").map(({ data }) => data.text)).toContainEqual(
        expect.stringMatching(/^recorded before:/),
      ),
    );
    const ended = await all.call("Capture.cancel", { capture });
    expect(ended).toMatchObject({ state: "partial", points: [{ id: "before" }], error: { code: "interrupted" } });
    expect(all.log.of("capture.failed")).toMatchObject([{ data: { code: "interrupted", partial: true } }]);
    expect(all.log.of("finding").map(({ data }) => data.rule)).toContain("capture-partial");
    expect(all.store.captures.get(capture)?.partial).toMatchObject({ code: "interrupted" });
    expect(await all.call("Capture.findings", { capture })).toEqual(all.log.of("finding").map(({ data }) => data));
  });

  it("of a guest that is lost meanwhile failed, and the guest is lost", async () => {
    const all = await attached(SUCCEEDS.slice(0, 1));
    const { capture } = await all.call("Capture.start", HANDOFF);
    await vi.waitFor(() => expect(all.log.of("capture.progress").length).toBeGreaterThan(2));
    all.target.lose();
    expect(await all.call("Capture.wait", { capture })).toMatchObject({
      state: "partial",
      error: { code: "connection-lost" },
    });
    await told(all, "target.lost");
    expect(await all.call("Target.status", T1)).toMatchObject({ state: "lost", capture: null });
  });

  it("of a guest that does not listen failed, and is no loss of the guest", async () => {
    const all = await attached([]);
    const silent = new EbscopeError("stub-silent", "Cannot stop the guest: no answer to the interrupt");
    vi.spyOn(all.target, "interrupt").mockRejectedValue(silent);
    expect(await captured(all)).toMatchObject({ state: "failed", error: { code: "stub-silent" } });
    expect(await all.call("Target.status", T1)).toMatchObject({ state: "running", capture: null });
  });

  it("ends when the bridge ends, and the guest is let go as it was found", async () => {
    const all = await attached(SUCCEEDS.slice(0, 1));
    const { capture } = await all.call("Capture.start", HANDOFF);
    await all.bridge.close();
    expect(all.log.of("capture.failed")).toMatchObject([{ capture, data: { code: "interrupted" } }]);
    expect(all.log.kinds.at(-1)).toBe("target.detached");
    expect(all.target.released).toBe("running");
  });
});

describe("a capture of what the guest is like now", () => {
  it("has one point", async () => {
    const all = await attached([]);
    const ended = await captured(all, { ...T1, what: "now" });
    expect(ended).toMatchObject({ state: "complete", points: [{ id: "now", kind: "now", complete: true }] });
    expect((await failure(all.call("Capture.diff", { capture: ended.capture }))).code).toBe("no-such-point");
  });
});

describe("a full disk", () => {
  it("fails the capture, which can still be read", async () => {
    const all = await attached(SUCCEEDS);
    all.store.full = true;
    const { capture, ...ended } = await captured(all);
    expect(ended).toMatchObject({ state: "failed", size: null, error: { code: "store-full" } });
    expect(ended.points).toHaveLength(3);
    expect(all.log.of("capture.failed")).toMatchObject([{ data: { code: "store-full", partial: false } }]);
    expect(await all.call("Capture.diff", { capture })).toMatchObject({ from: "before", to: "after" });
    expect(await all.call("Capture.list", {})).toMatchObject([{ capture, state: "failed" }]);
  });

  it("that takes no events refuses a capture", async () => {
    const all = await attached(SUCCEEDS);
    all.log.full = true;
    await all.call("Target.interrupt", T1);
    expect((await failure(all.call("Capture.start", T1))).code).toBe("store-full");
  });
});

describe("captures of the store", () => {
  async function stored(...captures: readonly (readonly [string, Capture])[]): Promise<Bridged> {
    const all = await bridged({});
    for (const [id, capture] of captures) all.store.captures.set(id, capture);
    return all;
  }

  it("are listed with the newest first, and read once for that", async () => {
    const old = await fixture();
    const all = await stored(
      ["a", { ...old, createdAt: "2026-01-01T00:00:00.000Z" }],
      ["b", { ...old, createdAt: "2026-01-03T00:00:00.000Z", partial: { code: "timed-out", message: "late" } }],
      ["c", { ...old, createdAt: "2026-01-02T00:00:00.000Z" }],
    );
    const list = await all.call("Capture.list", {});
    expect(list).toMatchObject([
      { capture: "b", target: null, state: "partial", error: { code: "timed-out", message: "late" } },
      { capture: "c", target: null, state: "complete", error: null },
      { capture: "a", target: null, state: "complete" },
    ]);
    expect(await all.call("Capture.get", { capture: "b" })).toEqual(list[0]);
    expect(await all.call("Capture.wait", { capture: "b" })).toEqual(list[0]);
    expect(all.store.reads).toBe(3);
  });

  it("that are damaged are told of, and hide no others", async () => {
    const all = await stored(["a", await fixture()], ["b", await fixture()]);
    const read = all.store.read.bind(all.store);
    vi.spyOn(all.store, "read").mockImplementation((id) =>
      id === "a"
        ? Promise.reject(new EbscopeError("capture-corrupt", "Cannot read the capture: it is damaged"))
        : read(id),
    );
    const list = await all.call("Capture.list", {});
    expect(list).toHaveLength(2);
    expect(list.find(({ capture }) => capture === "a")).toMatchObject({
      state: "failed",
      error: { code: "capture-corrupt" },
    });
    expect((await failure(all.call("Capture.findings", { capture: "a" }))).code).toBe("capture-corrupt");
  });

  it("have the diff and the findings that the command line prints", async () => {
    const capture = await fixture();
    const all = await stored(["a", capture]);
    const [diff, other, findings] = await withCapture(capture, async (file) => [
      await run("diff", file, "--json"),
      await run("diff", file, "--json", "--from", "after", "--to", "fault"),
      await run("show", file, "findings", "--json"),
    ]);
    const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
    expect(plain(await all.call("Capture.diff", { capture: "a" }))).toEqual(JSON.parse(diff as string));
    const named = { capture: "a", from: "after", to: "fault" };
    expect(plain(await all.call("Capture.diff", named))).toEqual(JSON.parse(other as string));
    expect(plain(await all.call("Capture.findings", { capture: "a" }))).toEqual(JSON.parse(findings as string));
    expect(all.store.reads).toBe(1);
  });

  it("are kept for the last four that were asked for", async () => {
    const capture = await fixture();
    const ids = ["a", "b", "c", "d", "e"];
    const all = await stored(...ids.map((id) => [id, capture] as const));
    for (const id of ids) await all.call("Capture.findings", { capture: id });
    for (const id of ["e", "d", "c", "b"]) await all.call("Capture.findings", { capture: id });
    expect(all.store.reads).toBe(5);
    await all.call("Capture.findings", { capture: "a" });
    expect(all.store.reads).toBe(6);
  });

  it.each(["Capture.get", "Capture.wait", "Capture.cancel", "Capture.diff", "Capture.findings"] as const)(
    "%s of one that is not there is refused",
    async (method) => {
      const all = await stored();
      expect((await failure(all.call(method, { capture: "zz" }))).code).toBe("no-such-capture");
    },
  );

  it("have points by name only", async () => {
    const all = await stored(["a", await fixture()]);
    expect((await failure(all.call("Capture.diff", { capture: "a", from: "nowhere" }))).code).toBe("no-such-point");
    expect((await failure(all.call("Capture.diff", { capture: "a", from: "after", to: "after" }))).code).toBe("usage");
  });
});

describe("a wait", () => {
  it("can be given up without an end of the capture", async () => {
    const all = await attached([]);
    const { capture } = await all.call("Capture.start", HANDOFF);
    const given = new AbortController();
    const waiting = failure(all.call("Capture.wait", { capture }, given.signal));
    given.abort();
    expect((await waiting).code).toBe("interrupted");
    expect(await all.call("Capture.get", { capture })).toMatchObject({ state: "running" });
  });
});
