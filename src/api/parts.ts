/** What the schemas share. */
import { type Static, Type } from "typebox";

export const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

/** `"0x…"`, as wide as the register is (SVE registers are wider than 64 bits). */
export const Hex = Type.String({ pattern: "^0x(0|[1-9a-f][0-9a-f]*)$" });
export const RegimeName = Type.Enum(["EL1&0", "EL2", "EL2&0", "EL3", "stage2"]);

/** What is known of an address; null wherever nothing is. */
export const placeFields = {
  /** `DxeCore+0x1234` */
  image: Nullable(Type.String()),
  section: Nullable(Type.String()),
  /** `CoreStall+0x10`, or the service that a UEFI table points there for. */
  symbol: Nullable(Type.String()),
  line: Nullable(Type.Object({ file: Type.String(), line: Type.Integer() })),
  /** EFI_MEMORY_TYPE, as the memory map had it that ExitBootServices was called with. */
  memoryType: Nullable(Type.String()),
};
export const Place = Type.Object({ address: Hex, ...placeFields });
export type PlaceJson = Static<typeof Place>;
