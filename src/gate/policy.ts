/** A policy as rules are checked: what its document says, understood. */

import type { RegimeName } from "../aarch64/regime-model.ts";
import type { Property, RuleName } from "../api/policy.ts";
import type { Assertion } from "./assertion.ts";
import type { Pattern } from "./pattern.ts";

/** A place in the policy's file; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Virtual addresses from `start` up to `end`, which is not included. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Which memory is meant; what is undefined does not matter. */
export interface MemorySelector {
  readonly images: readonly Pattern[] | undefined;
  readonly sections: readonly Pattern[] | undefined;
  readonly ranges: readonly AddressRange[] | undefined;
  /** Names of EFI_MEMORY_TYPE; `none` for what is not in the memory map. */
  readonly types: readonly string[] | undefined;
  readonly runtime: boolean;
}

/** Memory that a rule lets pass. */
export interface Exception extends MemorySelector {
  readonly regime: RegimeName | undefined;
  readonly at: readonly string[] | undefined;
  readonly position: Position;
  /** How it is called in results: `exception 2`. */
  readonly text: string;
}

/** A name that a rule lets pass: of a register, of a finding. */
export interface NameException {
  readonly name: Pattern;
  /** For registers: the field; undefined for the whole register. */
  readonly field: Pattern | undefined;
  readonly position: Position;
  readonly text: string;
}

/** What a rule asks for. `at` is undefined where the rule's own points are meant, `regimes` where those in use are. */
export type Demand =
  | {
      readonly rule: "no-write-execute";
      readonly at: readonly string[] | undefined;
      readonly regimes: readonly RegimeName[] | undefined;
      readonly except: readonly Exception[];
    }
  | { readonly rule: "null-page-unmapped"; readonly at: readonly string[] | undefined; readonly size: bigint }
  | {
      readonly rule: "runtime-code-read-only";
      readonly at: readonly string[] | undefined;
      readonly except: readonly Exception[];
    }
  | {
      readonly rule: "no-control-register-changes";
      readonly from: string;
      readonly to: string;
      readonly except: readonly NameException[];
    }
  | {
      readonly rule: "all-changes-expected";
      readonly from: string;
      readonly to: string;
      readonly except: readonly Exception[];
    }
  | {
      readonly rule: "no-findings";
      readonly minimum: "error" | "warning" | "info";
      readonly findings: readonly Pattern[] | undefined;
      readonly except: readonly NameException[];
    }
  | { readonly rule: "exit-succeeded"; readonly attempts: number | undefined }
  | { readonly rule: "not-faulted" }
  | {
      readonly rule: "registers";
      readonly assertion: Assertion;
      readonly at: readonly string[] | undefined;
      readonly cpu: number | "all" | undefined;
    }
  | {
      readonly rule: "mappings";
      readonly selector: MemorySelector;
      readonly must: readonly Property[];
      readonly mustNot: readonly Property[];
      readonly memory: readonly Pattern[] | undefined;
      readonly at: readonly string[] | undefined;
      readonly regimes: readonly RegimeName[] | undefined;
      readonly except: readonly Exception[];
    }
  | { readonly rule: "same-as"; readonly baseline: string | undefined; readonly ignore: readonly string[] };

export type DemandOf<R extends RuleName> = Extract<Demand, { readonly rule: R }>;

export interface PolicyRule {
  readonly demand: Demand;
  /** The rule's name; for one of several in a list what it asserts, too. */
  readonly title: string;
  readonly severity: "error" | "warning";
  readonly unknown: "break" | "allow";
  readonly reason: string | undefined;
  readonly position: Position;
}

export interface Policy {
  /** Its file, as the user named it. */
  readonly file: string;
  readonly name: string | undefined;
  readonly rules: readonly PolicyRule[];
}
