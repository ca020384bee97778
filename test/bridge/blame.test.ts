/** Who writes, by the bridge: what is asked for, and what is told while it happens against what the test's guest writes. */
import { describe, expect, it } from "vitest";
import type { BlameEvent, BlameRecord } from "../../src/snapshot/blame.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { run, withCapture } from "../cli/run.ts";
import { failure } from "../support/failure.ts";
import { FakeTarget, type Visit } from "../support/fake-target.ts";
import { BOOT_SERVICES, buildFirmware } from "../support/firmware.ts";
import { DXE_CORE, EXIT_CALLER, exitBootServices, STACK } from "../support/handoff-target.ts";
import { type Bridged, bridged } from "./support.ts";

const T1 = { target: "t1" };
const HANDOFF = { ...T1, watch: 0.01 };
/** `str x1, [x0]` */
const STORE = Uint8Array.of(0x01, 0x00, 0x00, 0xf9);
const HOOKED = BOOT_SERVICES + 0xe8n;
const IN_DXE_CORE = DXE_CORE.base + 0x1200n;
const ELSEWHERE = 0x4410_0000n;

/** An instruction at `pc` that stores there. */
function store(pc: bigint, address: bigint, word: bigint): Visit {
  return { pc, registers: { x0: address, x1: word, sp: STACK }, writes: { address, word } };
}

async function attached(visits: readonly Visit[]): Promise<Bridged & { readonly guest: FakeTarget }> {
  const { memory } = buildFirmware([DXE_CORE]);
  for (const page of [EXIT_CALLER, STACK, 0x4740_0000n]) memory.bytes(page & ~0xfffn);
  for (const pc of [IN_DXE_CORE, ELSEWHERE]) memory.write(pc, STORE);
  const guest = new FakeTarget(memory, []);
  const all = await bridged({ 1: guest });
  await all.call("Target.attach", { gdb: ":1", run: true });
  guest.later(...visits);
  return { ...all, guest };
}

describe("a capture with who writes", () => {
  it("tells each write with who did it, as the record has it", async () => {
    const [call, back] = exitBootServices(7n) as [Visit, Visit];
    const before = store(ELSEWHERE, HOOKED, 0x1111n);
    const inside = store(IN_DXE_CORE, HOOKED, 0x2222n);
    const other = store(IN_DXE_CORE, 0x4600_0000n, 0x3333n);
    const all = await attached([before, call, inside, other, back]);
    const { capture } = await all.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8", "0x46000000,16"] });
    expect(await all.call("Capture.wait", { capture })).toMatchObject({ state: "complete" });
    expect(all.guest.watchpoints.size).toBe(0);

    const told = all.log.of("blame.write");
    expect(told.every((event) => event.target === "t1" && event.capture === capture)).toBe(true);
    const writes = told.flatMap(({ data }) => data.writes);
    const hooked = `0x${HOOKED.toString(16)}`;
    expect(writes.slice(0, 3)).toMatchObject([
      // Before the first point nothing is known of images.
      { kind: "memory", cpu: 0, pc: "0x44100000", address: hooked, new: "0x1111", name: "gBS+0xe8", image: null },
      { pc: "0x474f1200", address: hooked, old: "0x1111", new: "0x2222", name: "gBS+0xe8", image: "DxeCore+0x1200" },
      { address: "0x46000000", new: "0x3333", name: "0x46000000,16", image: "DxeCore+0x1200" },
    ]);
    // The firmware's end zeroes the table by no instruction that the test wrote down: found by comparing.
    expect(writes.slice(3)).toMatchObject([{ kind: "memory", pc: null, old: "0x2222", new: "0x0" }]);
    expect(told.at(-1)?.data.total).toBe(4);
    const events = all.store.captures.get(capture)?.blame?.events ?? [];
    for (const { event, pc, address } of writes) {
      expect(events[event]).toMatchObject({
        ...{ pc: pc === null ? undefined : BigInt(pc), address: BigInt(address ?? -1) },
      });
    }
  });

  it("tells what was written before the point that comes after it", async () => {
    const [call, back] = exitBootServices(7n) as [Visit, Visit];
    const all = await attached([store(ELSEWHERE, HOOKED, 1n), call, store(IN_DXE_CORE, HOOKED, 2n), back]);
    const { capture } = await all.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8"] });
    await all.call("Capture.wait", { capture });
    const lines = all.log.events.flatMap((event) => {
      if (event.kind === "blame.write") return [`wrote ${event.data.writes.map((write) => write.new)}`];
      if (event.kind === "capture.progress") return event.data.text.split(/[:;,]/).slice(0, 1);
      return event.kind === "capture.completed" ? ["complete"] : [];
    });
    const order = lines.filter((line) => /^(wrote|recorded|watching who|complete)/.test(line));
    expect(order).toEqual([
      ...["watching who writes", "wrote 0x1", "recorded before", "wrote 0x2"],
      ...["recorded after", "wrote 0x0", "recorded later", "complete"],
    ]);
  });

  it("tells nothing of writes when nobody's are asked for", async () => {
    const all = await attached(exitBootServices(7n, { inside: [store(IN_DXE_CORE, HOOKED, 2n)] }));
    const { capture } = await all.call("Capture.start", HANDOFF);
    await all.call("Capture.wait", { capture });
    expect(all.log.of("blame.write")).toEqual([]);
    expect(all.store.captures.get(capture)?.blame).toBeUndefined();
  });

  it("ends with what its limit lets be recorded", async () => {
    const inside = Array.from({ length: 5 }, (_, i) => store(IN_DXE_CORE, HOOKED, BigInt(i + 1)));
    const all = await attached(exitBootServices(7n, { inside }));
    const { capture } = await all.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8"], blameLimit: 2 });
    await all.call("Capture.wait", { capture });
    const news = all.log.of("blame.write").flatMap(({ data }) => data.writes.map((write) => write.new));
    expect(news).toEqual(["0x1", "0x2"]);
    expect(all.guest.watchpoints.size).toBe(0);
    expect(all.log.of("capture.progress").map(({ data }) => data.text)).toContainEqual(
      expect.stringContaining("2 events were recorded, as many as may be"),
    );
  });

  it.each([
    [{ watchWrites: ["gBX+1"] }, /it names no place/],
    [{ watchWrites: ["gBS+0xe8", "0x1000,0"] }, /it has no bytes/],
    [{ blameMaintenance: true }, /TLB maintenance alone/],
    [{ what: "now", blame: true }, /it stands still/],
  ] as const)("that is asked for with %j is refused before anything is begun", async (request, message) => {
    const all = await attached([]);
    const { length } = all.log.events;
    const error = await failure(all.call("Capture.start", { ...HANDOFF, ...request } as never));
    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(message) });
    expect(all.log.events.length).toBe(length);
    expect(await all.call("Capture.list", {})).toEqual([]);
    expect(all.guest.running).toBe(true);
  });

  it("whose range lies nowhere fails, and leaves nothing in the guest", async () => {
    const all = await attached([]);
    const { capture } = await all.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8", "0x8000000"] });
    expect(await all.call("Capture.wait", { capture })).toMatchObject({ state: "failed", error: { code: "usage" } });
    expect(all.guest.watchpoints.size).toBe(0);
    expect(all.guest.running).toBe(true);
  });

  it("that is cancelled or ended with the bridge leaves no watchpoint", async () => {
    const all = await attached(exitBootServices(7n).slice(0, 1));
    const { capture } = await all.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8"] });
    await expect.poll(() => all.guest.watchpoints.size).toBe(1);
    await all.call("Capture.cancel", { capture });
    expect(all.guest.watchpoints.size).toBe(0);

    const again = await attached(exitBootServices(7n).slice(0, 1));
    await again.call("Capture.start", { ...HANDOFF, watchWrites: ["gBS+0xe8"] });
    await expect.poll(() => again.guest.watchpoints.size).toBe(1);
    // What is in the guest when it is let go: the fake one takes out everything by itself then.
    const release = again.guest.release.bind(again.guest);
    let left = -1;
    again.guest.release = (run) => {
      left = again.guest.watchpoints.size;
      return release(run);
    };
    await again.bridge.close();
    expect(left).toBe(0);
  });
});

describe("what was recorded", () => {
  async function recorded(request: object = { watchWrites: ["gBS+0xe8", "0x46000000,16"] }) {
    const [call, back] = exitBootServices(7n) as [Visit, Visit];
    const writes = [store(IN_DXE_CORE, HOOKED, 0x2222n), store(IN_DXE_CORE, 0x4600_0000n, 0x3333n)];
    const all = await attached([call, ...writes, back]);
    const { capture } = await all.call("Capture.start", { ...HANDOFF, ...request });
    await all.call("Capture.wait", { capture });
    return { ...all, capture, taken: all.store.captures.get(capture) as Capture };
  }

  it.each([
    [{}, []],
    [{ what: "gBS+0xe8" }, ["gBS+0xe8"]],
    [{ what: "0x46000000" }, ["0x46000000"]],
    [{ what: "sctlr_el1", cpu: 0 }, ["sctlr_el1", "--cpu", "0"]],
  ] as const)("is asked for with %j, and is what the command line prints of the file", async (choice, words) => {
    const { call, capture, taken } = await recorded();
    const entries = await call("Capture.blame", { capture, ...choice });
    const printed = await withCapture(taken, (file) => run("blame", file, ...words, "--json"));
    expect(entries).toEqual(JSON.parse(printed));
    const news = entries.flatMap((entry) => (entry.kind === "memory" ? [entry.new] : []));
    const wanted = { "gBS+0xe8": ["0x2222", "0x0"], "0x46000000": ["0x3333"], sctlr_el1: [] };
    expect(news).toEqual("what" in choice ? wanted[choice.what] : ["0x2222", "0x3333", "0x0"]);
  });

  it.each([
    [{ what: "gBX" }, "usage"],
    [{ regime: "EL2" }, "usage"],
    [{ what: "SCTLR_EL1", cpu: 1 }, "usage"],
  ] as const)("is not there for %j: %s", async (choice, code) => {
    const { call, capture } = await recorded();
    expect((await failure(call("Capture.blame", { capture, ...choice }))).code).toBe(code);
  });

  it("of a capture without is no list, and more than an answer may have is refused", async () => {
    const without = await recorded({});
    expect((await failure(without.call("Capture.blame", { capture: without.capture }))).code).toBe("no-blame");
    const { call, store, taken } = await recorded();
    const event = taken.blame?.events.find(({ kind }) => kind === "memory") as BlameEvent;
    const events = Array.from({ length: 50_001 }, (_, stop) => ({ ...event, stop }));
    store.captures.set("many", { ...taken, blame: { ...(taken.blame as BlameRecord), events } });
    const error = await failure(call("Capture.blame", { capture: "many" }));
    expect(error).toMatchObject({ code: "answer-too-large", next: expect.stringContaining("`what`") });
  });
});
