/** What stands around a guest's code: UEFI's tables, the images, the symbols. Found when it is needed, and kept while it may hold. */
import { EbscopeError } from "../base/error.ts";
import { type Located, locateExitBootServices } from "../capture/locate.ts";
import { captureNow, findEfi } from "../capture/now.ts";
import { type Study, studyCapture } from "../diagnose/study.ts";
import type { SymbolChoice } from "../diagnose/symbols-used.ts";
import { type EfiTables, readEfiTables } from "../efi/tables.ts";
import type { EfiRoots } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import type { RunControl } from "./run-control.ts";

export interface FindOptions {
  /** How long the guest may run until its firmware shows its tables. Default: the session's. */
  readonly findTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface SurroundingsOptions {
  readonly target: Target;
  readonly control: RunControl;
  readonly createdBy: string;
  readonly symbols: readonly string[];
  readonly findTimeoutMs: number;
  readonly onWaiting: (why: string) => void;
}

export class Surroundings {
  readonly #options: SurroundingsOptions;
  #roots: EfiRoots | undefined;
  #study: { readonly epoch: number; readonly study: Study } | undefined;

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  get symbols(): SymbolChoice {
    const { symbols } = this.#options;
    return symbols.length === 0 ? "none" : symbols;
  }

  /** Where UEFI's tables are or were; undefined where none was seen. Does not let the guest run. */
  async roots(): Promise<EfiRoots | undefined> {
    this.#roots ??= await findEfi(this.#options.target);
    return this.#roots;
  }

  /** Where UEFI's tables are. The halted guest runs on until its firmware shows them. Rejects as `locateExitBootServices` does. */
  async locate({ findTimeoutMs, signal }: FindOptions): Promise<Located> {
    const { target, control, onWaiting } = this.#options;
    const located = await locateExitBootServices(target, {
      findTimeoutMs: findTimeoutMs ?? this.#options.findTimeoutMs,
      signal,
      onWaiting,
      beforeRunning: () => control.lend(),
    });
    this.#roots = located.roots;
    return located;
  }

  /** The tables as they are in the halted guest, with their functions. */
  async tables(roots: EfiRoots): Promise<EfiTables> {
    return readEfiTables(this.#options.target.memory, roots);
  }

  /** All that can be known of the halted guest, images and symbols too. Taken once while it stands still. */
  async study(): Promise<Study> {
    const { target, control, createdBy } = this.#options;
    if (this.#study?.epoch === control.epoch) return this.#study.study;
    const { epoch } = control;
    const { capture, error } = await captureNow(target, createdBy);
    if (error !== undefined) throw error;
    if (capture === undefined) throw new EbscopeError("internal", "Nothing was captured");
    const study = await studyCapture(capture, this.symbols);
    this.#study = { epoch, study };
    return study;
  }

  /** The last study, however old; a new one where there is none. */
  async anyStudy(): Promise<Study> {
    return this.#study?.study ?? this.study();
  }
}
