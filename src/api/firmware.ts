/** What `show FILE images`, `memmap` and `efi` print as JSON. Names are promises to users, as those of schemas.ts are. */
import { type Static, Type } from "typebox";
import { Hex, Nullable, Place } from "./parts.ts";

/** A section by its header; `size` and `offset` in bytes. */
const Section = Type.Object({
  name: Type.String(),
  /** From the image's base. */
  offset: Hex,
  va: Hex,
  size: Hex,
  /** `code`, `data`, `zeroed data`, joined by `+`; `unknown` when its flags say nothing. */
  contents: Type.String(),
  /** What it asks for: `R-X`. */
  access: Type.String(),
  discardable: Type.Boolean(),
  characteristics: Hex,
});

/** null wherever the header, or the firmware's list, does not tell. */
export const ImageJson = Type.Object({
  name: Nullable(Type.String()),
  nameFrom: Nullable(Type.Enum(["build path", "file GUID", "device path", "header"])),
  base: Hex,
  size: Hex,
  /** By the firmware's list of loaded images, or by its header below an address where code runs. */
  found: Type.Enum(["list", "header"]),
  /** The points at which its header stood there, for one that was found by it. */
  foundAt: Nullable(Type.Array(Type.String())),
  /** EFI_MEMORY_TYPE of code and data, as the firmware's list has it. */
  codeType: Nullable(Type.String()),
  dataType: Nullable(Type.String()),
  runtime: Type.Boolean(),
  format: Nullable(Type.Enum(["PE32+", "TE"])),
  /** Such as `EFI boot service driver`. */
  imageType: Nullable(Type.String()),
  machine: Nullable(Type.String()),
  /** Address of its entry point. */
  entryPoint: Nullable(Hex),
  linkBase: Nullable(Hex),
  buildPath: Nullable(Type.String()),
  fileGuid: Nullable(Type.String()),
  buildId: Nullable(Type.String()),
  sections: Type.Array(Section),
  /** The symbol file that is used for it. */
  symbols: Nullable(
    Type.Object({
      file: Type.String(),
      by: Type.Enum(["build-id", "build-path", "name", "kernel", "size"]),
      why: Type.String(),
      /** What there is to add to an address in the file, modulo 2^64. */
      bias: Hex,
    }),
  ),
});
export type ImageJson = Static<typeof ImageJson>;

const Descriptor = Type.Object({
  /** `EfiConventionalMemory` */
  type: Type.String(),
  typeNumber: Type.Integer(),
  start: Hex,
  /** Past its last byte. */
  end: Hex,
  /** Of 4 KiB. */
  pages: Hex,
  virtualStart: Hex,
  attribute: Hex,
  /** The bits of `attribute` in words: `WB`, `XP`, `RUNTIME`. */
  attributes: Type.Array(Type.String()),
});
export type DescriptorJson = Static<typeof Descriptor>;

const mapFields = {
  /** The point in whose memory it was read. */
  point: Type.String(),
  state: Type.Enum(["read", "invalid", "unreadable"]),
  /** Why it was not read. */
  why: Nullable(Type.String()),
  /** Whether the descriptors ascend; null when it was not read. */
  sorted: Nullable(Type.Boolean()),
  /** What is wrong with it, a sentence each. */
  problems: Type.Array(Type.String()),
  descriptors: Type.Array(Descriptor),
};

export const MemoryMapJson = Type.Object({
  /** null: none is known for the point. */
  map: Nullable(
    Type.Object({
      source: Type.Enum(["GetMemoryMap", "firmware"]),
      ...mapFields,
      /** The call of GetMemoryMap that it is from. */
      call: Nullable(
        Type.Object({
          service: Nullable(Place),
          returnedTo: Place,
          mapKey: Hex,
          address: Hex,
          size: Hex,
          descriptorSize: Hex,
          descriptorVersion: Type.Integer(),
        }),
      ),
      /** Largest first. */
      totals: Type.Array(Type.Object({ type: Type.String(), descriptors: Type.Integer(), pages: Hex })),
    }),
  ),
  /** The memory attributes table at each point that has one. */
  attributesTables: Type.Array(Type.Object(mapFields)),
  /** What is another in it than at the first point where it was read. */
  attributesChanges: Type.Array(
    Type.Object({
      from: Type.String(),
      to: Type.String(),
      before: Nullable(Descriptor),
      after: Nullable(Descriptor),
    }),
  ),
});
export type MemoryMapJson = Static<typeof MemoryMapJson>;
export type DescriptorListJson = Pick<Static<typeof MemoryMapJson>["attributesTables"][number], keyof typeof mapFields>;

export const EfiJson = Type.Object({
  point: Type.String(),
  firmware: Type.Object({
    /** Where the vendor's name stands (UTF-16). */
    vendorAddress: Nullable(Hex),
    revision: Nullable(Hex),
  }),
  tables: Type.Array(
    Type.Object({
      /** `BootServices` */
      name: Type.String(),
      /** What programs call it: `gBS`. */
      variable: Type.String(),
      /** Where it is, or was at the first point; null when there is none. */
      address: Nullable(Hex),
      /** `damaged`: its signature is wrong. The consoles have none: theirs are `valid` unless all zeros. */
      state: Type.Enum(["valid", "zeroed", "damaged", "absent", "unreadable"]),
      /** What the system table's pointer to it holds at the point; null for the system table itself, or when it is not known. */
      pointer: Nullable(Hex),
      fields: Type.Array(
        Type.Object({
          name: Type.String(),
          offset: Hex,
          value: Hex,
          /** Where it leads; null for what is no address. */
          place: Nullable(Place),
        }),
      ),
    }),
  ),
  /** null: it could not be read. */
  configuration: Nullable(
    Type.Array(Type.Object({ guid: Type.String(), name: Nullable(Type.String()), place: Place })),
  ),
  /** What is another than at the first point of the capture; null at that point. */
  changes: Nullable(
    Type.Object({
      since: Type.String(),
      fields: Type.Array(
        Type.Object({
          name: Type.String(),
          /** `unknown`: it could not be read at one of them. */
          kind: Type.Enum(["changed", "added", "removed", "unknown"]),
          before: Nullable(Hex),
          after: Nullable(Hex),
        }),
      ),
    }),
  ),
});
export type EfiJson = Static<typeof EfiJson>;
