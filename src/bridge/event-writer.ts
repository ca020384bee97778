/**
 * From what happens to the log. What has happened cannot be taken back when the log cannot be written: such events are held, in order, and
 * written when that works again. Until then nothing is begun that would give rise to more of them: see `ready`.
 */

import type { EventKind } from "../api/events.ts";
import { asEbscopeError, type EbscopeError } from "../base/error.ts";
import type { EventLog, NewEvent } from "./ports.ts";

/** An event before it is said which guest and capture it is of. */
export type Happening = { [K in EventKind]: Pick<Extract<NewEvent, { kind: K }>, "kind" | "data"> }[EventKind];

/** Events that are held at most; guests that run and captures under way give rise to a few more at most. */
const MAX_HELD = 1_000;
const RETRY_MS = 1_000;

export interface WriterProblem {
  readonly error: EbscopeError;
  /** Events that are lost for good: more came than can be held. */
  readonly lost: number;
}

export class EventWriter {
  readonly #log: Pick<EventLog, "append">;
  readonly #onProblem: (problem: WriterProblem) => void;
  #waiting: NewEvent[] = [];
  /** How many the log has been given and has not answered for. */
  #underWay = 0;
  #writing: Promise<void> | undefined;
  #problem: EbscopeError | undefined;
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `onProblem` is told when the log cannot be written, once until it works again, and of each event that is lost. */
  constructor(log: Pick<EventLog, "append">, onProblem: (problem: WriterProblem) => void = () => undefined) {
    this.#log = log;
    this.#onProblem = onProblem;
  }

  /** Resolves when the event is on disk, or held. Events come in the order of the calls. Never rejects. */
  tell(event: NewEvent): Promise<void> {
    // A log that is slow is no problem: those who tell wait for it.
    if (this.#problem === undefined || this.#waiting.length + this.#underWay < MAX_HELD) this.#waiting.push(event);
    else this.#lose(this.#problem);
    return this.#write();
  }

  /** Whether the log cannot be written, as far as is known: what is told is held. */
  get isHolding(): boolean {
    return this.#problem !== undefined;
  }

  /** Rejects with what keeps the log from being written, after another try. */
  async ready(): Promise<void> {
    if (this.#problem !== undefined) await this.#write();
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Resolves when nothing is under way; what is held then is tried once more. */
  async close(): Promise<void> {
    if (this.#waiting.length > 0) await this.#write();
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** All that waits goes out together, so that the log can write it at once; what fails goes to the front again. */
  async #write(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#waiting.length === 0) return;
    this.#writing = this.#writeAll();
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    const events = this.#waiting;
    this.#waiting = [];
    this.#underWay = events.length;
    const results = await Promise.allSettled(events.map(async (event) => this.#log.append(event)));
    this.#writing = undefined;
    this.#underWay = 0;
    const failed = events.filter((_, i) => results[i]?.status === "rejected");
    this.#waiting = [...failed, ...this.#waiting];
    const refusal = results.find((result) => result.status === "rejected");
    if (refusal === undefined) this.#problem = undefined;
    else this.#failed(asEbscopeError(refusal.reason));
  }

  #failed(error: EbscopeError): void {
    const isNew = this.#problem === undefined;
    this.#problem = error;
    if (isNew) this.#onProblem({ error, lost: this.#lost });
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#write(), RETRY_MS);
    this.#timer.unref?.();
  }

  #lose(error: EbscopeError): void {
    this.#lost++;
    this.#onProblem({ error, lost: this.#lost });
  }
}
