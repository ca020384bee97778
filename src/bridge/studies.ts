/** What is made of captures, kept for the last few: reading one takes a second, and those who ask come together. */
import type { BlameEntryJson } from "../api/blame.ts";
import type { DiffJson, FindingJson } from "../api/schemas.ts";
import { authorsOf } from "../diagnose/blame/authors.ts";
import { findingsOf } from "../diagnose/findings.ts";
import { type Study, studyCapture } from "../diagnose/study.ts";
import { traceAt } from "../diagnose/trace.ts";
import { differenceIn, type PointChoice, pointsToCompare } from "../diff/compare.ts";
import { type Difference, diffPoints } from "../diff/diff.ts";
import { encodeDiff, encodeFindings } from "../encode/diff.ts";
import type { Capture } from "../snapshot/model.ts";
import { type BlameChoice, blameEntries } from "./blame-entries.ts";

/** Captures that are kept, and differences of each. */
const MAX_STUDIES = 4;
const MAX_DIFFERENCES = 4;

interface Kept {
  readonly study: Promise<Study>;
  /** By the points' ids, as they were asked for. */
  readonly differences: Map<string, Promise<DiffJson>>;
  findings: Promise<FindingJson[]> | undefined;
}

export class Studies {
  readonly #read: (id: string) => Promise<Capture>;
  /** The one that was asked for last comes last. */
  readonly #kept = new Map<string, Kept>();

  constructor(read: (id: string) => Promise<Capture>) {
    this.#read = read;
  }

  study(id: string): Promise<Study> {
    return this.#entry(id).study;
  }

  /** What `ebscope diff FILE --json` prints. */
  diff(id: string, choice: PointChoice = {}): Promise<DiffJson> {
    const { differences } = this.#entry(id);
    const key = JSON.stringify([choice.from ?? null, choice.to ?? null]);
    return kept(differences, key, MAX_DIFFERENCES, () => this.#diff(id, choice));
  }

  /** The two points that `ebscope diff` compares unless told; undefined when the capture has a single one. */
  async difference(id: string, choice: PointChoice = {}): Promise<Difference | undefined> {
    const { capture, images } = await this.study(id);
    return differenceIn(capture, images, choice);
  }

  /** What `ebscope show FILE findings --json` prints. */
  findings(id: string): Promise<FindingJson[]> {
    const entry = this.#entry(id);
    entry.findings ??= this.#findings(id);
    return entry.findings;
  }

  /** What `ebscope blame FILE --json` prints. Made anew each time: it may be large, and is asked for in parts. */
  async blame(id: string, choice: BlameChoice): Promise<BlameEntryJson[]> {
    return blameEntries(await this.study(id), choice);
  }

  /** A capture that is at hand: it need not be read. */
  add(id: string, capture: Capture): void {
    this.#kept.delete(id);
    this.#entry(id, () => Promise.resolve(capture));
  }

  async #diff(id: string, choice: PointChoice): Promise<DiffJson> {
    const study = await this.study(id);
    const { capture, images } = study;
    const difference = await diffPoints(capture, images, ...pointsToCompare(capture, choice));
    const traces = [await traceAt(study, difference.before), await traceAt(study, difference.after)];
    return encodeDiff(difference, findingsOf(study, difference), study, traces, await authorsOf(study, difference));
  }

  async #findings(id: string): Promise<FindingJson[]> {
    const study = await this.study(id);
    return encodeFindings(findingsOf(study, await this.difference(id)));
  }

  #entry(id: string, read = this.#read): Kept {
    const known = this.#kept.get(id);
    const entry = known ?? { study: this.#study(id, read), differences: new Map(), findings: undefined };
    this.#kept.delete(id);
    this.#kept.set(id, entry);
    for (const oldest of [...this.#kept.keys()].slice(0, -MAX_STUDIES)) this.#kept.delete(oldest);
    return entry;
  }

  /** One that could not be read is tried again the next time. */
  #study(id: string, read: (id: string) => Promise<Capture>): Promise<Study> {
    const study = read(id).then((capture) => studyCapture(capture));
    study.catch(() => {
      if (this.#kept.get(id)?.study === study) this.#kept.delete(id);
    });
    return study;
  }
}

function kept<T>(map: Map<string, Promise<T>>, key: string, most: number, make: () => Promise<T>): Promise<T> {
  const value = map.get(key) ?? make();
  map.delete(key);
  map.set(key, value);
  value.catch(() => map.delete(key));
  for (const oldest of [...map.keys()].slice(0, -most)) map.delete(oldest);
  return value;
}
