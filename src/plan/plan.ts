/** A plan of a capture, read and understood: every part of it is there, with its default where the document is silent. */
import type { PlanDocument } from "../api/plan.ts";
import type { Path, Position, Problem } from "../document/index.ts";
import type { Expression } from "./expression/expression.ts";
import type { Location } from "./location.ts";

export type RegimeChoice = "EL1&0" | "EL2" | "EL2&0" | "EL3" | "stage2";

export const REGISTER_CLASSES = ["control", "exception", "general", "timer", "debug", "other"] as const;
export type RegisterClassName = (typeof REGISTER_CLASSES)[number];

export interface Plan {
  readonly name: string;
  readonly note: string | undefined;
  /** Of the document: `symbols` and `out` are relative to it and lie in it (`insideFolder` checks that at use). */
  readonly folder: string;
  readonly target: PlanTarget | undefined;
  readonly memory: NonNullable<PlanDocument["memory"]>;
  readonly symbols: readonly string[];
  readonly out: string | undefined;
  /** At least one, in the order of the document. */
  readonly points: readonly PlanPoint[];
  readonly diffs: readonly PlanDiff[];
  readonly timeoutMs: number;
  readonly findTimeoutMs: number;
  readonly watchMs: number;
  readonly maxTables: number;
  /** Something that only the guest showed to be wrong, at its place in the document; for `refuse`. */
  problem(path: Path, message: string, cure: string, offset?: number): Problem;
  /** Raises `bad-document` with these. */
  refuse(problems: readonly Problem[]): never;
}

export type PlanTarget =
  | { readonly kind: "attach"; readonly address: string }
  | { readonly kind: "launch"; readonly command: readonly string[]; readonly keep: boolean };

/** Each the id of a point, or of one of its hits: `attributes#3`. */
export interface PlanDiff {
  readonly from: string;
  readonly to: string;
}

/** What a diff names. */
export interface PointReference {
  readonly id: string;
  /** Undefined: the last that was recorded. */
  readonly hit: number | undefined;
}

export function pointReference(text: string): PointReference {
  const [id = "", hit] = text.split("#", 2);
  return { id, hit: hit === undefined ? undefined : Number(hit) };
}

export interface PlanPoint {
  readonly id: string;
  /** Where the point stands in the document, for `Plan.problem`; `[...path, "if"]` is its condition. */
  readonly path: Path;
  readonly position: Position;
  readonly at: readonly PlanPlace[];
  readonly when: "entry" | "return";
  /** Recorded only where it is known and not 0. Hits at which it is 0 are not counted. */
  readonly condition: Expression | undefined;
  readonly after: string | undefined;
  readonly until: string | undefined;
  /** Which hits are recorded, from 1 on, both included; `to` undefined: to the last. */
  readonly hits: { readonly from: number; readonly to: number | undefined };
  /** `count`: records at most. `ms`: how long it stays armed, undefined: as long as the plan runs. */
  readonly limit: { readonly count: number; readonly ms: number | undefined };
  readonly keep: "first" | "last";
  readonly record: PlanRecord;
  /** Whether the plan is done with the last record of this point (`then: stop`). */
  readonly stops: boolean;
  readonly note: string | undefined;
}

/** One of a point's places; `path` is where its text stands. */
export interface PlanPlace {
  readonly location: Location;
  readonly text: string;
  readonly path: Path;
}

export interface PlanRecord {
  readonly registers: "none" | "all" | RegisterList;
  readonly tables: "none" | "live" | readonly RegimeChoice[];
  readonly memory: readonly PlanMemory[];
  readonly backtrace: boolean;
  readonly arguments: boolean;
}

export interface RegisterList {
  readonly classes: readonly RegisterClassName[];
  /** As stubs and captures have them. */
  readonly names: readonly string[];
  /** Where each name stands in the document's list. */
  readonly indices: readonly number[];
}

export interface PlanMemory {
  readonly name: string;
  readonly path: Path;
  readonly address: Expression;
  /** In bytes. What comes out of an expression has to be held against MAX_RECORDED_BYTES. */
  readonly length: Expression;
}

/** Of one range of memory. */
export const MAX_RECORDED_BYTES = 16n << 20n;
