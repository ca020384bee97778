/**
 * The captures of the bridge: those that are being taken, those that were taken since it came up, and those of the store.
 *
 * A capture that could not be written stays in memory, the last one of these: a handoff cannot be had again.
 */
import { randomBytes } from "node:crypto";
import type { BlameEntryJson } from "../api/blame.ts";
import type { CaptureJson, Params } from "../api/protocol.ts";
import type { DiffJson, FindingJson } from "../api/schemas.ts";
import { asEbscopeError, EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import type { CaptureOutcome } from "../capture/exit-boot-services.ts";
import type { Study } from "../diagnose/study.ts";
import type { PointChoice } from "../diff/compare.ts";
import type { Difference } from "../diff/diff.ts";
import { encodePoint } from "../encode/point.ts";
import type { Capture } from "../snapshot/model.ts";
import type { BlameChoice } from "./blame-entries.ts";
import type { EventWriter, Happening } from "./event-writer.ts";
import type { Guest } from "./guest.ts";
import type { CaptureStore, NewEvent, StoredCapture } from "./ports.ts";
import { Studies } from "./studies.ts";
import { blameOf, type TakeOptions, takeCapture } from "./take-capture.ts";
import { until } from "./until.ts";
import type { WriteTeller } from "./write-batches.ts";

export interface CapturesOptions {
  readonly store: CaptureStore;
  readonly writer: Pick<EventWriter, "tell" | "ready" | "isHolding">;
  readonly createdBy: string;
}

/** A capture that this bridge takes or took. */
interface Taking {
  readonly guest: string;
  json: CaptureJson;
  readonly cancel: AbortController;
  /** Resolves when all is over: written, and told. Never rejects. */
  ended: Promise<void>;
}

/** Captures of this bridge that are remembered as such. */
const MAX_TAKEN = 256;
/** Characters of a line of progress, and of the message of a failure. */
const MAX_TEXT = 1_000;

export class Captures {
  readonly #store: CaptureStore;
  readonly #writer: CapturesOptions["writer"];
  readonly #createdBy: string;
  readonly #studies = new Studies((id) => this.#read(id));
  /** By id; the newest last. */
  readonly #taken = new Map<string, Taking>();
  /** What stored captures are like, which costs reading them. */
  readonly #known = new Map<string, CaptureJson>();
  #unwritten: { readonly id: string; readonly capture: Capture } | undefined;

  constructor({ store, writer, createdBy }: CapturesOptions) {
    this.#store = store;
    this.#writer = writer;
    this.#createdBy = createdBy;
  }

  /** Begins; the events tell the rest. Rejects when the guest is lent or lost, and with `usage` and `store-full`. */
  async start(guest: Guest, request: Params<"Capture.start">): Promise<CaptureJson> {
    const blame = blameOf(request);
    await this.#writer.ready();
    guest.mustBeFree();
    const createdAt = new Date().toISOString();
    const id = `${createdAt.slice(0, 19).toLowerCase().replaceAll(":", "-")}-${randomBytes(4).toString("hex")}`;
    const json: CaptureJson = {
      ...{ capture: id, target: guest.id, state: "running", createdAt },
      ...{ size: null, points: [], error: null },
    };
    const taking: Taking = { guest: guest.id, json, cancel: new AbortController(), ended: Promise.resolve() };
    this.#remember(id, taking);
    void this.#tell(taking, { kind: "capture.started", data: {} });
    taking.ended = this.#take(taking, guest, { request, blame });
    return json;
  }

  /** Answers when it has ended; rejects with `interrupted` when the signal is aborted before. */
  async wait(id: string, signal: AbortSignal): Promise<CaptureJson> {
    const taking = this.#taken.get(id);
    if (taking !== undefined) await until(taking.ended, signal);
    return this.get(id);
  }

  /** Ends it if it is running, and answers when it has ended. */
  async cancel(id: string, signal: AbortSignal): Promise<CaptureJson> {
    this.#taken.get(id)?.cancel.abort(new EbscopeError("interrupted", "The capture was cancelled"));
    return this.wait(id, signal);
  }

  /** The newest first. */
  async list(): Promise<CaptureJson[]> {
    const stored = await this.#store.list();
    const ids = new Set(stored.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    const others = [...this.#taken.values()]
      .map(({ json }) => json)
      .filter((json) => !ids.has(json.capture) && !isWritten(json));
    const described: CaptureJson[] = [];
    for (const each of stored) described.push(await this.#describe(each));
    return [...others, ...described].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  }

  async get(id: string): Promise<CaptureJson> {
    const taking = this.#taken.get(id);
    if (taking !== undefined && !isWritten(taking.json)) return taking.json;
    const stored = (await this.#store.list()).find((each) => each.id === id);
    if (stored === undefined) throw noSuchCapture(id);
    return this.#describe(stored);
  }

  /** What `ebscope diff FILE --json` prints. */
  diff(id: string, choice: PointChoice): Promise<DiffJson> {
    return this.#studies.diff(id, choice);
  }

  /** What `ebscope show FILE findings --json` prints. */
  findings(id: string): Promise<FindingJson[]> {
    return this.#studies.findings(id);
  }

  /** What `ebscope blame FILE --json` prints. */
  blame(id: string, choice: BlameChoice): Promise<BlameEntryJson[]> {
    return this.#studies.blame(id, choice);
  }

  study(id: string): Promise<Study> {
    return this.#studies.study(id);
  }

  /** Undefined when the capture has a single point and none was named. */
  difference(id: string, choice: PointChoice): Promise<Difference | undefined> {
    return this.#studies.difference(id, choice);
  }

  /** Ends those that are running, and resolves when they have ended. */
  async close(): Promise<void> {
    const all = [...this.#taken.values()];
    for (const { cancel } of all) cancel.abort(new EbscopeError("interrupted", "The bridge ends"));
    await Promise.all(all.map(({ ended }) => ended));
  }

  async #take(taking: Taking, guest: Guest, asked: Pick<TakeOptions, "request" | "blame">): Promise<void> {
    const outcome = await guest
      .lend(taking.json.capture, (target, onPoint) =>
        takeCapture(target, {
          ...{ ...asked, onPoint, createdBy: this.#createdBy, signal: taking.cancel.signal },
          writes: this.#writesOf(taking),
          onProgress: (text) => void this.#tell(taking, progress(text)),
        }),
      )
      .catch((error: unknown): CaptureOutcome => ({ capture: undefined, error: asEbscopeError(error) }));
    await this.#finish(taking, outcome);
  }

  async #finish(taking: Taking, { capture, error }: CaptureOutcome): Promise<void> {
    if (capture === undefined) {
      await this.#failed(taking, error ?? new EbscopeError("internal", "Nothing was captured"), false);
      return;
    }
    const id = taking.json.capture;
    this.#studies.add(id, capture);
    const points = capture.points.map((point) => encodePoint(capture, point));
    try {
      const { size } = await this.#store.write(id, capture);
      taking.json = { ...taking.json, state: "complete", points, size };
    } catch (cause) {
      this.#unwritten = { id, capture };
      taking.json = { ...taking.json, points };
      await this.#failed(taking, asEbscopeError(cause), false);
      return;
    }
    if (error !== undefined) await this.#failed(taking, error, true);
    else await this.#tell(taking, completed(capture));
    await this.#tellFindings(taking);
  }

  async #failed(taking: Taking, error: EbscopeError, partial: boolean): Promise<void> {
    const failure = { code: error.code, message: printable(error.message, MAX_TEXT) };
    taking.json = { ...taking.json, state: partial ? "partial" : "failed", error: failure };
    await this.#tell(taking, { kind: "capture.failed", data: { ...failure, partial } });
  }

  /** Findings that cannot be made are none; whoever asks for them is told why. */
  async #tellFindings(taking: Taking): Promise<void> {
    const findings = await this.findings(taking.json.capture).catch(() => []);
    await Promise.all(findings.map((data) => this.#tell(taking, { kind: "finding", data })));
  }

  #writesOf(taking: Taking): WriteTeller {
    const writer = this.#writer;
    return {
      tell: (data) => this.#tell(taking, { kind: "blame.write", data }),
      get isHolding() {
        return writer.isHolding;
      },
    };
  }

  #tell({ guest, json }: Taking, event: Happening): Promise<void> {
    return this.#writer.tell({ ...event, target: guest, capture: json.capture } as NewEvent);
  }

  #remember(id: string, taking: Taking): void {
    this.#taken.set(id, taking);
    const over = [...this.#taken].filter(([, { json }]) => json.state !== "running");
    for (const [oldest] of over.slice(0, Math.max(this.#taken.size - MAX_TAKEN, 0))) this.#taken.delete(oldest);
  }

  /** One that cannot be read is told of as what it is; the others are there. */
  async #describe({ id, createdAt, size }: StoredCapture): Promise<CaptureJson> {
    const taking = this.#taken.get(id);
    if (taking !== undefined) return taking.json;
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const common = { capture: id, target: null, createdAt, size };
    try {
      const capture = await this.#store.read(id);
      const points = capture.points.map((point) => encodePoint(capture, point));
      const state = capture.partial === undefined ? "complete" : "partial";
      const described: CaptureJson = { ...common, state, points, error: capture.partial ?? null };
      this.#known.set(id, described);
      return described;
    } catch (cause) {
      const { code, message } = asEbscopeError(cause);
      return { ...common, state: "failed", points: [], error: { code, message: printable(message, MAX_TEXT) } };
    }
  }

  async #read(id: string): Promise<Capture> {
    if (this.#unwritten?.id === id) return this.#unwritten.capture;
    const json = this.#taken.get(id)?.json;
    if (json === undefined || isWritten(json)) return this.#store.read(id);
    if (json.state === "running") {
      const next = "Wait for it (`Capture.wait`), or end it (`Capture.cancel`).";
      throw new EbscopeError("no-such-capture", `Cannot read the capture ${id}: it is still being taken`, { next });
    }
    const why = json.error?.message ?? "it failed";
    throw new EbscopeError("no-such-capture", `Cannot read the capture ${id}: there is nothing in it (${why})`);
  }
}

function isWritten({ state }: CaptureJson): boolean {
  return state === "complete" || state === "partial";
}

function progress(text: string): Happening {
  return { kind: "capture.progress", data: { text: printable(text, MAX_TEXT) } };
}

function completed({ points }: Capture): Happening {
  const faulted = points.some(({ kind }) => kind === "fault");
  return { kind: "capture.completed", data: { points: points.map(({ id }) => id), faulted } };
}

function noSuchCapture(id: string): EbscopeError {
  return new EbscopeError("no-such-capture", `Cannot find the capture ${JSON.stringify(printable(id, 60))}`);
}
