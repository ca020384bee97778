/** What is another at a stop than at the stop before: registers by field, and mappings where somebody asked for them. */
import type { PhysAddr } from "../base/address.ts";
import { assemble } from "../capture/assemble.ts";
import { takePoint } from "../capture/point.ts";
import { MemoryTypes } from "../diagnose/memory-types.ts";
import { diffPoints } from "../diff/diff.ts";
import { diffRegisters } from "../diff/registers.ts";
import { encodeMappingChange, encodeRegisterChange } from "../encode/diff.ts";
import type { Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import type { Happening } from "./event-writer.ts";
import type { StopView } from "./stop-view.ts";

export interface Watched {
  readonly registers: boolean;
  readonly mappings: boolean;
}

export type Change = Extract<Happening, { kind: "registers.changed" | "mappings.changed" }>;

/** Registers in one event; more of them are told in several. */
const MAX_REGISTERS = 512;
/** Runs in one event; of more the first are told. */
const MAX_MAPPINGS = 1_000;
/** Pages of tables that a stop reads of a regime: 32 MiB. */
const MAX_TABLES = 8_192;

export class StopChanges {
  readonly #target: Target;
  #watched: Watched = { registers: true, mappings: false };
  /** The stop before; `mapped`: its tables were read. */
  #before: { readonly point: Point; readonly mapped: boolean } | undefined;
  #expect: ReadonlySet<PhysAddr> | undefined;

  constructor(target: Target) {
    this.#target = target;
  }

  get watched(): Watched {
    return this.#watched;
  }

  /** What is left out stays as it is. */
  watch(wanted: { readonly [K in keyof Watched]?: boolean | undefined }): void {
    const { registers, mappings } = this.#watched;
    this.#watched = { registers: wanted.registers ?? registers, mappings: wanted.mappings ?? mappings };
  }

  /** What the guest, which has just stopped, has changed since the stop before. */
  async at(view: StopView): Promise<Change[]> {
    const { registers, mappings } = this.#watched;
    if (mappings) return this.#atMapped();
    if (registers) return this.compare(await view.registerPoint(), false);
    this.#before = undefined;
    return [];
  }

  /** What has changed from the stop before to this point, which is the stop before from now on. `mapped`: its tables were read. */
  async compare(point: Point, mapped: boolean): Promise<Change[]> {
    const before = this.#before;
    const { registers, mappings } = this.#watched;
    this.#before = registers || mappings ? { point, mapped } : undefined;
    if (before === undefined) return [];
    const changes: Change[] = registers ? this.#registerChanges(before.point, point) : [];
    return mappings && mapped && before.mapped
      ? [...changes, ...(await this.#mappingChanges(before.point, point))]
      : changes;
  }

  /** Nothing of what only a point of a capture has (images, UEFI's tables) is read. Where it fails nothing is known to have changed. */
  async #atMapped(): Promise<Change[]> {
    const request = { id: "now", kind: "after", maxTables: MAX_TABLES, expect: this.#expect } as const;
    const { point, lost, needed } = await takePoint(this.#target, request);
    this.#expect = needed;
    if (point !== undefined && lost === undefined) return this.compare(point, true);
    this.#before = undefined;
    return [{ kind: "mappings.changed", data: { mappings: [], complete: false } }];
  }

  #registerChanges(before: Point, after: Point): Change[] {
    const changes = diffRegisters(this.#captureOf(before, after), before, after).map(encodeRegisterChange);
    const pieces = Array.from({ length: Math.ceil(changes.length / MAX_REGISTERS) }, (_, i) =>
      changes.slice(i * MAX_REGISTERS, (i + 1) * MAX_REGISTERS),
    );
    return pieces.map((registers) => ({ kind: "registers.changed", data: { registers } }));
  }

  /** Where something could not be read nothing is known to have changed: that is no complete list. */
  async #mappingChanges(before: Point, after: Point): Promise<Change[]> {
    const { mappings, coverage } = await diffPoints(this.#captureOf(before, after), [], before, after);
    if (mappings.length === 0 && coverage.length === 0) return [];
    const types = new MemoryTypes(undefined);
    const told = mappings.slice(0, MAX_MAPPINGS).map((change) => encodeMappingChange(change, types));
    const complete = told.length === mappings.length && coverage.length === 0;
    return [{ kind: "mappings.changed", data: { mappings: told, complete } }];
  }

  #captureOf(...points: readonly Point[]) {
    return assemble(this.#target, "", { points, partial: undefined });
  }
}
