/**
 * A program that writes events and captures into the store of a folder as fast as it can, and says on its output what is stored, once
 * it is: `open MILLISECONDS`, `event NUMBER SHA-256-OF-JSON`, `capture ID SHA-256`, `failed CODE`. With `until-full` it ends when the
 * disk is full for both, after reading everything back: `read NUMBER-OF-EVENTS NUMBER-OF-CAPTURES`.
 */
import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { phys } from "../../../src/base/address.ts";
import { EbscopeError } from "../../../src/base/error.ts";
import { openStore, type Store } from "../../../src/bridge/store/index.ts";
import { encodeCapture } from "../../../src/snapshot/file.ts";
import type { Capture } from "../../../src/snapshot/model.ts";
import { sampleCapture } from "../../support/captures.ts";
import { Random } from "../../support/random.ts";
import { progress, readWhole } from "./support-files.ts";

const [folder = "", seed = "1", mode = "for-ever"] = process.argv.slice(2);
const random = new Random(Number(seed));
const untilFull = mode === "until-full";

function say(line: string): void {
  // A pipe takes it in one piece, and at once.
  writeSync(1, `${line}\n`);
}

function sha(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const from = performance.now();
const store = await openStore(folder, { segmentBytes: 200_000, memoryBytes: 50_000 });
say(`open ${Math.round(performance.now() - from)} ${store.log.cut}`);

await Promise.all([...Array.from({ length: 8 }, () => writeEvents(store)), writeCaptures(store)]);
const { events } = await readWhole(store.log);
const captures = await store.captures.list();
for (const { id } of captures) await store.captures.read(id);
say(`read ${events.length} ${captures.length}`);
await store.log.close();

/** True when it is full, and not to go on. */
function failed(error: unknown): boolean {
  say(`failed ${error instanceof EbscopeError ? error.code : String(error)}`);
  return untilFull;
}

async function writeEvents({ log }: Store): Promise<void> {
  for (;;) {
    const text = "x".repeat(random.chance(0.05) ? random.below(100_000) : random.below(3_000));
    try {
      const { event, json } = await log.append(progress(text));
      say(`event ${event.seq} ${sha(json)}`);
    } catch (error) {
      if (failed(error)) return;
    }
  }
}

async function writeCaptures({ captures }: Store): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `c${seed}-${i}`;
    // Until there is no room for another one.
    const capture = someCapture(untilFull ? 10 * 2 ** i : 20);
    try {
      await captures.write(id, capture);
      say(`capture ${id} ${sha(encodeCapture(capture))}`);
      // The store shall not grow beyond bounds, and pruning is to be interrupted too.
      if (i % 5 === 4 && !untilFull) await captures.prune({ count: 8 });
    } catch (error) {
      if (failed(error)) return;
    }
  }
}

/** Some pages that others have, and some of its own. */
function someCapture(count: number): Capture {
  const sample = sampleCapture();
  const pages = Array.from({ length: count }, (_, i) => {
    const bytes = new Uint8Array(4096).fill(i);
    const own = untilFull || random.chance(0.3);
    for (let at = 0; own && at < 4096; at++) bytes[at] = random.next();
    return [phys(BigInt(i) << 12n), { state: "present", bytes }] as const;
  });
  const points = sample.points.slice(0, 1).map((point) => ({ ...point, pages: new Map(pages) }));
  return { ...sample, createdAt: new Date().toISOString(), points };
}
