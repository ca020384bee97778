/**
 * Who writes, by the bridge and by the TypeScript API, against what the guest blame prints of its own stores; and that nothing of it outlives
 * whoever asked for it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { WriteJson } from "../../src/api/events.ts";
import { type Client, connect } from "../../src/client/index.ts";
import { attach, encodeBlame, type StudiedBlame, studyCapture } from "../../src/index.ts";
import type { BlameEvent } from "../../src/snapshot/blame.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { type Deed, parseBlameLog } from "../support/blame-log.ts";
import { ebscopeJson, Guest, guestLine, guestLines, ROOT, sleep, temporaryFolder } from "../support/live.ts";
import { startBridge } from "../support/live-bridge.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function blameGuest(append: string, paused = true): Promise<Guest> {
  return new Guest({ kernel: join(ROOT, "examples/guests/blame/blame.efi"), append }, paused).listening();
}

/** A write as the guest prints it: the instruction, the descriptor, what it held before and after. */
type Line = readonly [pc: bigint, at: bigint, old: bigint, now: bigint];

function linesOf(deeds: readonly Deed[]): Line[] {
  const stores = deeds.filter(({ kind }) => kind === "store");
  return stores.map(({ pc, at = 0n, old = -1n, new: now = -1n }) => [pc, at & ~7n, old, now]);
}

/** Of the writes that instructions of the guest itself did. */
function ownLines(
  console: string,
  events: readonly Pick<BlameEvent, "kind" | "pc" | "address" | "old" | "new">[],
): Line[] {
  const { base = "", size = "" } = guestLine(console, "image");
  const own = (pc: bigint): boolean => pc >= BigInt(base) && pc < BigInt(base) + BigInt(size);
  return events.flatMap(({ kind, pc, address, old = -1n, new: now = -1n }): Line[] =>
    kind === "table" && pc !== undefined && own(pc) ? [[pc, address, old, now]] : [],
  );
}

/** What the guest printed, but for where its own code writes down what it does. */
const printed = (console: string): string => console.slice(console.indexOf("guest: start")).replaceAll("\r", "");

describe("who writes, by the bridge", () => {
  it("is told while it happens, as the capture has it and as the guest prints it", async () => {
    await using bridge = await startBridge(join(folder.path, "flips"));
    await using guest = await blameGuest("mode=flips");
    await using client = await connect({ url: bridge.url, token: bridge.control });
    const { target } = await client.Target.attach({ gdb: guest.address });
    const asked = { target, watch: 2, blame: true, blameMaintenance: true, watchWrites: ["gBS+0xe8"] };
    const { capture } = await client.Capture.start(asked);
    expect(await client.Capture.wait({ capture })).toMatchObject({ state: "complete" });
    const { writes, totals } = await toldBy(client);
    await client.Target.detach({ target, run: true });
    await guest.shows(/blame: done/);

    const file = join(folder.path, "flips.ebs");
    writeFileSync(file, Buffer.from(await (await bridge.get(`/captures/${capture}/file`)).arrayBuffer()));
    const { blame } = await readCapture(file);
    const events = blame?.events ?? [];
    const isWrite = ({ kind }: BlameEvent) => !["point", "table-found", "lapse"].includes(kind);
    expect(writes.map(({ event }) => event)).toEqual(
      [...events.keys()].filter((i) => isWrite(events[i] as BlameEvent)),
    );
    expect(totals.at(-1)).toBe(writes.length);
    expect(await client.Capture.blame({ capture })).toEqual(await ebscopeJson("blame", file));
    const register = await client.Capture.blame({ capture, what: "TTBR0_EL1" });
    expect(register).toEqual(await ebscopeJson("blame", file, "TTBR0_EL1"));
    expect(await (await bridge.get(`/captures/${capture}/blame?what=TTBR0_EL1`)).json()).toEqual(register);
    expect(writes.map(valuesOf)).toEqual(events.filter(isWrite).map(recordedValues));

    const deeds = parseBlameLog(guest.console);
    expect(ownLines(guest.console, events)).toEqual(linesOf(deeds));
    expect(linesOf(deeds).length).toBeGreaterThan(10);
    // Each is the application's, named as it was loaded, or the firmware's CPU driver's.
    const { base = "", size = "" } = guestLine(guest.console, "image");
    const tables = writes.filter(({ kind, pc }) => kind === "table" && pc !== null);
    const names = tables.map(({ pc, image }) => {
      const offset = BigInt(pc ?? 0) - BigInt(base);
      if (offset < 0n || offset >= BigInt(size)) return image?.replace(/\+0x[0-9a-f]+$/, "");
      expect(image).toBe(`kernel+0x${offset.toString(16)}`);
      return "kernel";
    });
    expect(new Set(names)).toEqual(new Set(["kernel", "ArmCpuDxe"]));
    expect(
      new Set(writes.filter(({ kind }) => kind === "maintenance").map(({ name }) => name?.split(" ")[0])),
    ).toContain("TLBI");
  });

  it.each(["the capture is cancelled by another client", "the bridge is ended"])(
    "is over when %s: the guest runs at full speed",
    async (how) => {
      const bridge = await startBridge(join(folder.path, how.split(" ")[1] ?? ""));
      await using _bridge = bridge;
      await using guest = await blameGuest("mode=many n=400000", false);
      const first = await connect({ url: bridge.url, token: bridge.control });
      const { target } = await first.Target.attach({ gdb: guest.address, run: true });
      const { capture } = await first.Capture.start({ target, watch: 1, blame: true });
      // In the middle of it: some of the firmware's, and of the guest's 400,000 stores.
      for await (const event of first.events({ after: 0, filter: { kinds: ["blame.write"] } })) {
        if (event.kind === "blame.write" && event.data.total > 500) break;
      }
      await first.close();
      expect(guest.console).not.toMatch(/blame: done/);
      if (how.startsWith("the bridge")) expect(await bridge.stop()).toBe(0);
      else {
        await using other = await connect({ url: bridge.url, token: bridge.control });
        expect(await other.Capture.cancel({ capture })).toMatchObject({ state: "partial" });
      }
      // Stopped at each of them it would be minutes.
      const from = performance.now();
      await guest.shows(/blame: done/);
      expect(performance.now() - from).toBeLessThan(30_000);
      expect(await guest.status()).toBe("running");
      const [many] = parseBlameLog(guest.console).filter(({ kind }) => kind === "many");
      expect(many?.count).toBe(400_000n);
    },
  );
});

async function toldBy(client: Client): Promise<{ readonly writes: WriteJson[]; readonly totals: number[] }> {
  const writes: WriteJson[] = [];
  const totals: number[] = [];
  for await (const event of client.events({ after: 0 })) {
    if (event.kind === "capture.completed") break;
    if (event.kind !== "blame.write") continue;
    writes.push(...event.data.writes);
    totals.push(event.data.total);
  }
  return { writes, totals };
}

function valuesOf({ kind, cpu, pc, old, new: now }: WriteJson) {
  return [kind, cpu, pc, old, now];
}

function recordedValues({ kind, cpu, pc, old, new: now }: BlameEvent) {
  const hex = (value: bigint | undefined) => (value === undefined ? null : `0x${value.toString(16)}`);
  return [kind.replace("unseen-", ""), cpu, hex(pc), hex(old), hex(now)];
}

describe("who writes, by the TypeScript API", () => {
  it("is recorded between two breakpoints of the program, as the guest prints it, and changes nothing of what it prints", async () => {
    await using guest = await blameGuest("mode=flips");
    const session = await attach(guest.address);
    const entry = await session.breakpoint("gBS->ExitBootServices");
    const call = await session.next({ timeoutMs: 120_000 });
    const events: BlameEvent[] = [];
    const watch = await session.blame({ maintenance: true, onEvent: (event) => events.push(event) });
    await session.breakpoint(call.general.get("x30") ?? 0n);
    const back = await session.next({ timeoutMs: 120_000 });
    expect(back.general.get("x0")).toBeDefined();
    const capture = await watch.end();
    expect(capture.points.map(({ id }) => id)).toEqual(["from", "to"]);
    expect(capture.blame?.events).toEqual(events);
    const { blame: studied } = await studyCapture(capture);
    const story = [...(await encodeBlame(studied as StudiedBlame, { kind: "all" }))];
    await entry[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    await guest.monitor("cont");
    await guest.shows(/blame: done/);
    expect(await guest.status()).toBe("running");

    const deeds = parseBlameLog(guest.console);
    const [first] = guestLines(guest.console, "exit");
    expect(first?.attempt).toBe("0x1");
    expect(ownLines(guest.console, events)).toEqual(linesOf(deeds));

    const told = story.flatMap((entry) =>
      entry.kind === "table" && entry.by?.image?.startsWith("kernel+") ? [entry] : [],
    );
    expect(told.map(({ by }) => BigInt(by?.pc ?? 0))).toEqual(linesOf(deeds).map(([pc]) => pc));
    // A store of the value that is there changes nothing.
    expect(told.map(({ effects }) => effects.length > 0)).toEqual(told.map(({ old, new: now }) => old !== now));

    await using alone = await blameGuest("mode=flips", false);
    await alone.shows(/blame: done/);
    await sleep(100);
    expect(printed(guest.console)).toBe(printed(alone.console));
  });
});
