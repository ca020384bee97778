/** A process of its own that opens a capture and maps what is in it: with nothing compiled yet, then again and again. */
import type { Point } from "../../src/snapshot/model.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { asked, report } from "./child.ts";
import { mapsOf, milliseconds, type Steps, steps } from "./tables.ts";

export interface DecodeRequest {
  readonly file: string;
  readonly repeats: number;
}

/** Milliseconds. */
export interface Decoded {
  /** The maps of a point, the first of the process. */
  readonly cold: number;
  /** Of the same point, of bytes that nobody has decoded, when everything is compiled. */
  readonly warm: readonly number[];
  /** Of both points. */
  readonly steps: readonly Steps[];
}

const { file, repeats } = asked<DecodeRequest>();
const capture = await readCapture(file);
const point = capture.points[0] as Point;
const cold = milliseconds(() => mapsOf(capture, point));
const warm: number[] = [];
for (let i = 0; i < repeats; i++) {
  const anew = copyOf(point);
  warm.push(milliseconds(() => mapsOf(capture, anew)));
}
const each: Steps[] = [];
for (let i = 0; i < repeats; i++) each.push(steps(await readCapture(file)));
report({ cold, warm, steps: each } satisfies Decoded);

function copyOf(one: Point): Point {
  const pages = new Map(one.pages);
  for (const [page, read] of pages) {
    if (read.state === "present") pages.set(page, { ...read, bytes: new Uint8Array(read.bytes) });
  }
  return { ...one, pages };
}
