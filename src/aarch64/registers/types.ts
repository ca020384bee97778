import { armArm } from "./source.ts";

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

/**
 * A table of fields that is made when it is first asked for: every command loads all tables, and most use few or none.
 * `described` takes it.
 */
export function once(make: () => readonly RegisterField[]): () => readonly RegisterField[] {
  let made: readonly RegisterField[] | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** Makes the description of one layout. `section` is where the manual describes the register: `D24.2`. */
export function described(
  section: string,
  name: string,
  title: string,
  fields: () => readonly RegisterField[],
  when?: LayoutCondition,
): RegisterDescription {
  return {
    name,
    title,
    source: armArm(`${section} ${name}`),
    ...(when === undefined ? {} : { when }),
    get fields() {
      return fields();
    },
  };
}

/** What a register of EL2 has its layout for: HCR_EL2.E2H. */
export const HOST: LayoutCondition = { kind: "e2h", value: true };
export const NOT_HOST: LayoutCondition = { kind: "e2h", value: false };

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

/** Makes a field of one bit; `zero` and `one` are the words for its two values, given together or not at all. */
export function bit(position: number, name: string, meaning: string, zero?: string, one?: string): RegisterField {
  if (zero === undefined || one === undefined) return { name, high: position, low: position, meaning };
  return { name, high: position, low: position, meaning, values: { "0b0": zero, "0b1": one } };
}

/** The key of a value in `RegisterField.values`: binary, as wide as the field. */
export function valueKey(value: bigint | number, width: number): string {
  return `0b${value.toString(2).padStart(width, "0")}`;
}

/** Words for all values of a field `width` bits wide, from a function. */
function wordsFor(width: number, words: (value: number) => string | undefined): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (let value = 0; value < 2 ** width; value += 1) {
    const word = words(value);
    if (word !== undefined) values[valueKey(value, width)] = word;
  }
  return values;
}

const generatedWords = new Map<(value: number) => string | undefined, Readonly<Record<string, string>>>();

/** Makes a field whose words come from a function. They are made when first asked for: the tables load at every start. */
export function generated(
  high: number,
  low: number,
  name: string,
  meaning: string,
  words: (value: number) => string | undefined,
): RegisterField {
  return {
    name,
    high,
    low,
    meaning,
    get values() {
      const known = generatedWords.get(words) ?? wordsFor(high - low + 1, words);
      generatedWords.set(words, known);
      return known;
    },
  };
}
