/** What `ebscope diff A.ebs B.ebs --json` prints. Names are promises to users, as those of schemas.ts are. */
import { type Static, Type } from "typebox";
import { Hex, Nullable, RegimeName } from "./parts.ts";
import { attributeFields, Class, CoverageJson, FindingJson } from "./schemas.ts";

/** The same of the first capture and of the second. */
const Two = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Object({ a: schema, b: schema });

/** The points at which it is so. */
const points = Type.Array(Type.String());
const Texts = Type.Array(Type.String());

const Image = Type.Object({ name: Nullable(Type.String()), base: Hex, size: Hex });

/**
 * `different`; `moved`: the same place at another address; `unmatched`: it cannot be told whether they mean the same; `run`: it depends
 * on the moment, as clocks and leftovers do; `unread`: it could not be read in one of them. What is equal is left out.
 */
const Verdict = Type.Enum(["different", "moved", "unmatched", "run", "unread"]);

const MappingOwner = Type.Union([
  /** An image that both have: `offset` bytes from its base; null: all of the section. */
  Type.Object({
    kind: Type.Literal("image"),
    image: Type.String(),
    section: Nullable(Type.String()),
    offset: Nullable(Hex),
  }),
  /** RAM outside images, by EFI_MEMORY_TYPE; `elsewhere`: what is mapped at another address than its own, by what it leads to. */
  Type.Object({ kind: Type.Enum(["memory", "elsewhere"]), type: Type.String() }),
  /** What is no RAM, at its address. */
  Type.Object({ kind: Type.Literal("address"), va: Hex }),
]);

const Content = Type.Object({
  /** `nowhere`: no memory of the owner is mapped as the other capture has it. */
  state: Type.Enum(["mapped", "not mapped", "unknown", "nowhere"]),
  size: Hex,
  attributes: Nullable(Type.Object(attributeFields)),
});

const RegisterChange = Nullable(Type.Object({ before: Nullable(Hex), after: Nullable(Hex) }));
const Change = Type.Enum(["zeroed", "changed", "unchanged"]);

const Call = Type.Object({
  from: Type.String(),
  to: Type.String(),
  /** EFI_STATUS of the last call that returned. */
  status: Two(Nullable(Hex)),
  attempts: Two(Type.Integer()),
  /** What either changed in all: pages of 4 KiB, images, fields of UEFI's tables. */
  totals: Two(Type.Object({ pages: Hex, images: Type.Integer(), fields: Type.Integer() })),
  /** Changes that are others, by whose memory it is. */
  mappings: Type.Array(
    Type.Object({
      owner: Type.String(),
      kind: Type.Enum(["added", "removed", "changed", "moved"]),
      before: Nullable(Type.Object(attributeFields)),
      after: Nullable(Type.Object(attributeFields)),
      pages: Two(Hex),
      verdict: Type.Enum(["different", "unmatched"]),
    }),
  ),
  /** Control registers of the vCPU that called; null: unchanged. */
  registers: Type.Array(Type.Object({ name: Type.String(), changes: Two(RegisterChange) })),
  efi: Type.Array(Type.Object({ name: Type.String(), changes: Two(Change) })),
  /** Images that only one capture has and whose pages changed. */
  only: Two(Texts),
});

export const AcrossJson = Type.Object({
  captures: Two(
    Type.Object({
      createdAt: Type.String(),
      qemuVersion: Nullable(Type.String()),
      firmware: Nullable(Type.String()),
      vcpus: Type.Integer(),
      partial: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    }),
  ),
  /** The points that were compared. */
  points,
  /** Points that only one of them has. */
  onlyPoints: Two(Texts),
  /** How many differences there are, and how much could not be matched, as the text counts them. */
  counts: Type.Object({ different: Type.Integer(), unmatched: Type.Integer() }),
  machine: Type.Array(Type.Object({ what: Type.String(), a: Type.String(), b: Type.String() })),
  registers: Type.Array(
    Type.Object({
      points,
      /** The index of the vCPU in either capture. */
      cpus: Two(Type.Integer()),
      name: Type.String(),
      class: Class,
      values: Two(Nullable(Hex)),
      verdict: Verdict,
      /** Why it is `unmatched` or `run`. */
      why: Nullable(Type.String()),
      /** What lies at an address: `DxeCore+0x3160`. */
      places: Two(Nullable(Type.String())),
      fields: Type.Array(Type.Object({ name: Type.String(), a: Hex, b: Hex, meaning: Type.String() })),
    }),
  ),
  /** Registers that only one stub offers. */
  offered: Two(Texts),
  images: Type.Object({
    pairs: Type.Array(
      Type.Object({
        name: Nullable(Type.String()),
        bases: Two(Hex),
        sizes: Two(Hex),
        /** `same`: laid out alike, with no other build id. `unknown`: a header could not be read. */
        build: Type.Enum(["same", "other", "unknown"]),
      }),
    ),
    only: Two(Type.Array(Image)),
  }),
  mappings: Type.Array(
    Type.Object({
      points,
      regimes: Two(RegimeName),
      owner: MappingOwner,
      sides: Two(Content),
      verdict: Type.Enum(["different", "unmatched"]),
      why: Nullable(Type.String()),
    }),
  ),
  /** RAM that is mapped at its own address, of all that there is. */
  mappedRam: Type.Array(Type.Object({ points, regimes: Two(RegimeName), sizes: Two(Hex), of: Two(Hex) })),
  /** Regimes that are in use, or translate, in one of them only: their mappings are not compared. */
  onlyRegimes: Type.Array(Type.Object({ points, regimes: Two(Type.Array(RegimeName)) })),
  efi: Type.Array(
    Type.Object({
      points,
      name: Type.String(),
      /** null: there is none. */
      values: Two(Nullable(Hex)),
      places: Two(Nullable(Type.String())),
      verdict: Type.Enum(["different", "unmatched"]),
      why: Nullable(Type.String()),
    }),
  ),
  /** null: one of the captures has no map that could be read. Types whose pages or attributes differ; pages of 4 KiB. */
  memoryMap: Nullable(
    Type.Object({
      descriptors: Two(Type.Integer()),
      types: Type.Array(Type.Object({ type: Type.String(), pages: Two(Hex), attributes: Two(Texts) })),
    }),
  ),
  /** What the call changed in each; null when a single point is compared. */
  call: Nullable(Call),
  /** Rules that say something else of either; null: nothing. */
  findings: Type.Array(Type.Object({ rule: Type.String(), findings: Two(Nullable(FindingJson)) })),
  /** What is not known of the tables of either. */
  coverage: Two(Type.Array(CoverageJson)),
});
export type AcrossJson = Static<typeof AcrossJson>;
