/** One field of a 64-bit System register: `value[high:low]`, named as the Arm ARM names it. */
export interface RegisterField {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  /** What the field is for, in at most 60 characters. */
  readonly meaning: string;
  /** Words for single values; keys are binary, padded to the width of the field: `"0b01"`. */
  readonly values?: Readonly<Record<string, string>>;
}

/**
 * What has to hold for a layout to apply. `e2h` is the effective HCR_EL2.E2H (a register of EL2 that changes its
 * layout under FEAT_VHE); `bit` is a bit of the register itself (PAR_EL1.F, SPSR_ELx.M[4]).
 */
export type LayoutCondition =
  | { readonly kind: "e2h"; readonly value: boolean }
  | { readonly kind: "bit"; readonly bit: number; readonly value: 0 | 1 };

/** One layout of one register. A register whose layout depends on other state has several descriptions. */
export interface RegisterDescription {
  /** Arm's name, for example `SCTLR_EL1`; PSTATE as GDB shows it is `cpsr`. */
  readonly name: string;
  readonly title: string;
  /** Document and section the layout was taken from. */
  readonly source: string;
  readonly when?: LayoutCondition;
  /** From the highest bit to the lowest, without reserved bits. */
  readonly fields: readonly RegisterField[];
}

/** What is known of the machine when a register is decoded; everything has a default (E2H=0, value 0). */
export interface RegisterVariant {
  readonly e2h?: boolean;
  readonly value?: bigint;
}

/** A field with the value it has. `meaning` is the words for this value where there are some, else the field's meaning. */
export interface DecodedField {
  readonly name: string;
  readonly value: bigint;
  readonly meaning: string;
  readonly high: number;
  readonly low: number;
}

/** Makes a field of several bits, with words for the values that have some. */
export function bits(
  high: number,
  low: number,
  name: string,
  meaning: string,
  values?: Readonly<Record<string, string>>,
): RegisterField {
  return values === undefined ? { name, high, low, meaning } : { name, high, low, meaning, values };
}

/** Makes a field of one bit; `zero` and `one` are the words for its two values. */
export function bit(position: number, name: string, meaning: string, zero?: string, one?: string): RegisterField {
  const values: Record<string, string> = {};
  if (zero !== undefined) values["0b0"] = zero;
  if (one !== undefined) values["0b1"] = one;
  return {
    name,
    high: position,
    low: position,
    meaning,
    ...(zero === undefined && one === undefined ? {} : { values }),
  };
}

/** The key of a value in `RegisterField.values`: binary, as wide as the field. */
export function valueKey(value: bigint, width: number): string {
  return `0b${value.toString(2).padStart(width, "0")}`;
}

/** Words for all values of a field `width` bits wide, from a function; for tables that are generated. */
export function wordsFor(
  width: number,
  words: (value: number) => string | undefined,
): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (let value = 0; value < 2 ** width; value += 1) {
    const word = words(value);
    if (word !== undefined) values[valueKey(BigInt(value), width)] = word;
  }
  return values;
}
