/** The points that a session takes, as one capture. What a point found, the next one knows: it is read where it was, and side by side. */
import type { RegimeName } from "../aarch64/regime-model.ts";
import type { PhysAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import { assemble } from "../capture/assemble.ts";
import { takePoint } from "../capture/point.ts";
import type { ImageExtent } from "../efi/image-headers.ts";
import type { EfiTables } from "../efi/tables.ts";
import { mostPoints } from "../snapshot/meta.ts";
import type { Capture, ExitAttempt, FoundImage, Partial, Point, PointKind } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import type { Surroundings } from "./surroundings.ts";

export interface SnapshotOptions {
  /** What the point stands for to those who read the capture. Default `now`. */
  readonly kind?: PointKind;
  /** The vCPU that it is about. Default: the one that stopped. */
  readonly cpu?: number;
  /** Read the firmware's list of images too. Default: at the first point, and at those of the kinds `before` and `now`. */
  readonly images?: boolean;
  readonly maxTables?: number;
  /** The regimes whose tables are read, in use or not. Default: those in use. */
  readonly regimes?: readonly RegimeName[];
}

const MAX_FOUND = 16;
const WITH_IMAGES: ReadonlySet<PointKind> = new Set(["before", "now"]);

export class Snapshots {
  readonly #target: Target;
  readonly #createdBy: string;
  readonly #surroundings: Surroundings;
  readonly #maxTables: number | undefined;
  readonly #points: Point[] = [];
  readonly #notes: string[] = [];
  readonly #attempts: ExitAttempt[] = [];
  #partial: Partial | undefined;
  #tables: EfiTables | undefined;
  #listed: readonly ImageExtent[] | undefined;
  #found: readonly FoundImage[] = [];
  #expected: ReadonlySet<PhysAddr> = new Set();
  #efi: Capture["efi"];

  constructor(target: Target, createdBy: string, surroundings: Surroundings, maxTables: number | undefined) {
    this.#target = target;
    this.#createdBy = createdBy;
    this.#surroundings = surroundings;
    this.#maxTables = maxTables;
  }

  get count(): number {
    return this.#points.length;
  }

  /** Where code is, as far as the points know: images. */
  get extents(): readonly ImageExtent[] {
    return [...(this.#listed ?? []), ...this.#found];
  }

  /** What was taken until now. It can be written, compared and studied; a later point makes another one. */
  get capture(): Capture {
    return assemble(this.#target, this.#createdBy, {
      points: [...this.#points],
      notes: [...this.#notes],
      attempts: [...this.#attempts],
      efi: this.#efi,
      partial: this.#partial,
    });
  }

  /** Leaves a point out again. */
  drop(id: string): void {
    const index = this.#points.findIndex((point) => point.id === id);
    if (index >= 0) this.#points.splice(index, 1);
  }

  note(text: string): void {
    this.#notes.push(printable(text, 1000));
  }

  addAttempt(attempt: ExitAttempt): void {
    this.#attempts.push(attempt);
  }

  /** Takes a point of the halted guest. What could be read of a guest that is lost meanwhile is kept, and the loss is raised. */
  async take(id: string, options: SnapshotOptions = {}): Promise<Point> {
    this.#mustBeNew(id);
    this.#efi ??= await this.#surroundings.roots();
    const { kind = "now", cpu, images = this.#points.length === 0 || WITH_IMAGES.has(kind) } = options;
    const maxTables = options.maxTables ?? this.#maxTables;
    const taken = await takePoint(this.#target, {
      ...{ id, kind, efi: this.#efi, images: images && this.#efi !== undefined },
      ...{ tables: this.#tables, listed: this.#listed, found: this.#found, expect: this.#expected },
      ...(cpu !== undefined && { cpu }),
      ...(maxTables !== undefined && { maxTables }),
      ...(options.regimes !== undefined && { regimes: options.regimes }),
    });
    const { point, lost, needed, tables, listed } = taken;
    if (point !== undefined) {
      this.#points.push(point);
      this.#tables ??= tables;
      this.#listed = listed;
      this.#found = joined(this.#found, taken.images);
      this.#expected = needed;
    }
    if (lost !== undefined) {
      this.#partial = { code: lost.code, message: lost.message };
      throw lost;
    }
    if (point === undefined) throw new EbscopeError("internal", "Nothing was captured");
    return point;
  }

  #mustBeNew(id: string): void {
    if (!/^[a-z0-9-]{1,40}$/.test(id)) {
      throw new EbscopeError("usage", `Cannot call a point ${JSON.stringify(printable(id, 60))}`, {
        next: "Use lower-case letters, digits and dashes, 40 at most.",
      });
    }
    if (this.#points.some((point) => point.id === id)) {
      throw new EbscopeError("usage", `Cannot take the point ${id}: the capture has one that is called so`);
    }
    const most = mostPoints(this.#target.info.cpus.length);
    if (this.#points.length >= most) {
      throw new EbscopeError("usage", `Cannot take another point: the capture has ${most}`);
    }
  }
}

function joined(known: readonly FoundImage[], seen: readonly FoundImage[]): readonly FoundImage[] {
  const isKnown = ({ base, physical }: FoundImage): boolean =>
    known.some((each) => each.base === base && each.physical === physical);
  return [...known, ...seen.filter((each) => !isKnown(each))].slice(-MAX_FOUND);
}
