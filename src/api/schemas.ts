/**
 * What ebscope's JSON looks like: the one source for validation, types and documents. Names are promises to users.
 *
 * Addresses and register values are `"0x…"`: lower case, no padding.
 */
import { type Static, Type } from "typebox";
import { Authors } from "./authors.ts";
import { ImageJson, MemoryMapJson } from "./firmware.ts";
import { Hex, Nullable, Place, placeFields, RegimeName } from "./parts.ts";

export const Class = Type.Enum(["control", "exception", "general", "timer", "debug", "other"]);

/** null: it cannot be told, as the stub does not offer a register that decides it. */
const Permission = Nullable(Type.Boolean());
const Access = Type.Object({ read: Permission, write: Permission, execute: Permission });

export const attributeFields = {
  read: Permission,
  write: Permission,
  execute: Permission,
  el0: Nullable(Access),
  memory: Type.String(),
  /** The memory type for instruction fetches. */
  fetch: Type.String(),
  shareability: Type.Enum(["inner", "outer", "none", "reserved"]),
  granule: Type.Integer(),
  level: Nullable(Type.Integer()),
  contiguous: Type.Boolean(),
  accessFlag: Type.Boolean(),
  global: Type.Boolean(),
  guarded: Type.Boolean(),
};

const Side = Type.Object({ pa: Hex, ...attributeFields });
export type SideJson = Static<typeof Side>;

export const RegisterJson = Type.Object({
  cpu: Type.Integer(),
  name: Type.String(),
  /** What the stub calls it. */
  stubName: Type.String(),
  class: Class,
  /** null: the stub had no value, or it could not be read. */
  value: Nullable(Hex),
  fields: Type.Array(Type.Object({ name: Type.String(), value: Hex, meaning: Type.String() })),
});

export const MappingJson = Type.Object({
  regime: RegimeName,
  va: Hex,
  size: Hex,
  pa: Hex,
  ...attributeFields,
  owner: Nullable(Type.Object({ image: Type.String(), section: Nullable(Type.String()) })),
});

export const TableJson = Type.Object({ regime: RegimeName, pa: Hex, level: Type.Integer() });

export const PointJson = Type.Object({
  id: Type.String(),
  kind: Type.Enum(["before", "after", "failed", "fault", "later", "now"]),
  pc: Nullable(Hex),
  cpu: Type.Integer(),
  time: Type.String(),
  complete: Type.Boolean(),
  regimes: Type.Array(RegimeName),
  pages: Type.Object({ present: Type.Integer(), absent: Type.Integer(), unreadable: Type.Integer() }),
});

export const CoverageJson = Type.Object({
  point: Type.String(),
  regime: RegimeName,
  /** The first range of addresses of which nothing is known for it, and how many there are. */
  va: Hex,
  size: Hex,
  ranges: Type.Integer(),
  /** The table that could not be looked into. */
  pa: Nullable(Hex),
  level: Nullable(Type.Integer()),
  code: Type.String(),
  why: Type.Optional(Type.String()),
});

/** PAN: PSTATE.PAN forbids it as things stand; unknown: a register that decides it is not offered. */
const Verdict = Type.Enum([
  "allowed",
  "permission fault",
  "access flag fault",
  "translation fault",
  "permission fault (PAN)",
  "unknown",
]);

const ExplainResult = Type.Union([
  Type.Object({
    mapped: Type.Literal(true),
    ...Side.properties,
    verdicts: Type.Array(Type.Object({ level: Type.String(), read: Verdict, write: Verdict, execute: Verdict })),
  }),
  Type.Object({ mapped: Type.Literal(false), why: Type.String(), level: Type.Integer() }),
  Type.Object({ mapped: Type.Null(), why: Type.String(), reason: Type.Optional(Type.String()) }),
]);

const Walk = Type.Object({
  point: Type.String(),
  /** The vCPU whose tables they are. */
  cpu: Type.Integer(),
  regime: RegimeName,
  /** Whether the regime is in use at the point. */
  live: Type.Boolean(),
  steps: Type.Array(
    Type.Object({
      stage: Type.Enum([1, 2]),
      level: Type.Integer(),
      table: Hex,
      /** The table's intermediate physical address, where stage 2 is in between. */
      intermediate: Type.Optional(Hex),
      index: Type.Integer(),
      descriptor: Hex,
      kind: Type.Enum(["invalid", "table", "block", "page"]),
      fields: Type.Array(Type.Object({ name: Type.String(), value: Hex, meaning: Type.String() })),
    }),
  ),
  /** The intermediate physical address that stage 1 led to, where stage 2 is in between. */
  intermediate: Type.Optional(Hex),
  result: ExplainResult,
});
export type WalkJson = Static<typeof Walk>;
const Walks = Type.Array(Walk);

export const ExplainJson = Type.Object({
  va: Hex,
  points: Walks,
  /** What is another at a point than at the one before it. */
  changes: Type.Array(
    Type.Object({
      from: Type.String(),
      to: Type.String(),
      differences: Type.Array(
        Type.Object({ what: Type.String(), before: Nullable(Type.String()), after: Nullable(Type.String()) }),
      ),
    }),
  ),
});

const FaultRegister = Type.Object({
  name: Type.String(),
  value: Hex,
  fields: Type.Array(Type.Object({ name: Type.String(), value: Hex, meaning: Type.String() })),
});

const trace = {
  /** The frames, innermost first; null when the regime is not known. */
  callChain: Nullable(
    Type.Object({
      frames: Type.Array(
        Type.Object({
          pc: Hex,
          /** The call in this function, which the names are of; null for the innermost frame. */
          call: Nullable(Hex),
          ...placeFields,
          /** What the page permits: `RO+X`, `not mapped`, `?`. */
          access: Type.String(),
          source: Type.Enum(["pc", "exception-link", "link-register", "frame-record", "swapped-record"]),
          trust: Type.Enum(["sure", "likely", "doubtful", "broken"]),
          doubts: Type.Array(Type.String()),
        }),
      ),
      /** Why it ends where it does. */
      end: Type.String(),
    }),
  ),
  /** How execution came to where no code can run; null where code can run there. */
  branch: Nullable(
    Type.Object({
      kind: Type.Enum(["call", "return", "later", "unknown"]),
      /** The call. */
      address: Nullable(Hex),
      why: Nullable(Type.String()),
    }),
  ),
  /** The UEFI service that was meant. */
  service: Nullable(
    Type.Object({ name: Type.String(), table: Hex, offset: Hex, before: Nullable(Hex), at: Nullable(Hex), call: Hex }),
  ),
};

export const BacktraceJson = Type.Object({
  point: Type.String(),
  cpu: Type.Integer(),
  regime: Nullable(RegimeName),
  ...trace,
});

/** null wherever a register could not be read. */
export const FaultJson = Type.Object({
  point: Type.String(),
  cpu: Type.Integer(),
  exceptionLevel: Type.Integer(),
  vector: Nullable(Type.Object({ kind: Type.String(), from: Type.String() })),
  esr: Nullable(Hex),
  exceptionClass: Nullable(Type.Integer()),
  summary: Nullable(Type.String()),
  spsr: Nullable(FaultRegister),
  /** Where the exception sets it. */
  hpfar: Nullable(FaultRegister),
  /** ELR_ELx. */
  pc: Nullable(Place),
  far: Nullable(Hex),
  farPlace: Nullable(Place),
  x30: Nullable(Place),
  pcWalks: Walks,
  farWalks: Walks,
  ...trace,
  /** x0 … x30 and sp as the exception found them. */
  general: Type.Array(Type.Object({ name: Type.String(), value: Hex })),
  /** The code around the PC, then that around the call that led there. */
  code: Type.Array(Type.Object({ address: Hex, word: Hex, text: Type.String() })),
});

export const FindingJson = Type.Object({
  rule: Type.String(),
  severity: Type.Enum(["error", "warning", "info"]),
  title: Type.String(),
  evidence: Type.Array(Type.String()),
});

export const DiffJson = Type.Object({
  from: Type.String(),
  to: Type.String(),
  /** What the last call of ExitBootServices returned; null when none was seen to return. */
  status: Nullable(Hex),
  attempts: Type.Integer(),
  partial: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
  /** Things worth knowing about how the capture was taken. */
  notes: Type.Array(Type.String()),
  /** At which of the two points each regime is in use: one that is not maps nothing there. */
  regimes: Type.Array(Type.Object({ regime: RegimeName, from: Type.Boolean(), to: Type.Boolean() })),
  registers: Type.Array(
    Type.Object({
      cpu: Type.Integer(),
      name: Type.String(),
      before: Nullable(Hex),
      after: Nullable(Hex),
      class: Class,
      fields: Type.Array(Type.Object({ name: Type.String(), before: Hex, after: Hex, meaning: Type.String() })),
      /** Who wrote it. There in captures with a record of writes only. */
      by: Type.Optional(Authors),
      /** Whether nobody was seen to write what it holds now; null: nobody watched. */
      unattributed: Type.Optional(Nullable(Type.Boolean())),
    }),
  ),
  mappings: Type.Array(
    Type.Object({
      regime: RegimeName,
      kind: Type.Enum(["added", "removed", "changed", "moved"]),
      va: Hex,
      size: Hex,
      before: Nullable(Side),
      after: Nullable(Side),
      owner: Nullable(Type.Object({ image: Type.String(), section: Nullable(Type.String()) })),
      expected: Nullable(Type.Object({ rule: Type.String(), why: Type.String() })),
      /** EFI_MEMORY_TYPE by the memory map that ExitBootServices was called with; `several`; null where that is not known. */
      memoryType: Nullable(Type.String()),
      /** Who changed it. There in captures with a record of writes only. */
      by: Type.Optional(Authors),
      /** Bytes of the run that nobody was seen to change last; null: nobody watched. */
      unattributed: Type.Optional(Nullable(Hex)),
    }),
  ),
  tables: Type.Array(Type.Object({ regime: RegimeName, pa: Hex, kind: Type.Enum(["added", "removed", "changed"]) })),
  efi: Type.Array(Type.Object({ name: Type.String(), before: Nullable(Hex), after: Nullable(Hex) })),
  findings: Type.Array(FindingJson),
  /** Of the capture, whichever points are compared; null when it has none. */
  fault: Nullable(FaultJson),
  /** Those whose mappings changed, in whole or in part. */
  images: Type.Array(ImageJson),
  /** The map that ExitBootServices was called with, and the memory attributes tables; null when the capture has neither. */
  memoryMap: Nullable(MemoryMapJson),
  /** Who was running at the two points. */
  backtraces: Type.Array(BacktraceJson),
  coverage: Type.Array(CoverageJson),
});

export type BacktraceJson = Static<typeof BacktraceJson>;
export type RegisterJson = Static<typeof RegisterJson>;
export type MappingJson = Static<typeof MappingJson>;
export type TableJson = Static<typeof TableJson>;
export type PointJson = Static<typeof PointJson>;
export type CoverageJson = Static<typeof CoverageJson>;
export type DiffJson = Static<typeof DiffJson>;
export type FindingJson = Static<typeof FindingJson>;
export type FaultJson = Static<typeof FaultJson>;
export type ExplainJson = Static<typeof ExplainJson>;
