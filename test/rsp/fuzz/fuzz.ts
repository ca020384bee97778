/** What is fuzzed: a property over inputs of some kind. See run.ts. */
import fc from "fast-check";

export interface Fuzz {
  readonly name: string;
  /** How many of a thousand inputs are of this kind. */
  readonly share: number;
  /** Throws, or rejects, for an input that is not handled as it should be; counts what came of those that are. */
  readonly property: (count: Count) => fc.IRawProperty<unknown, boolean>;
}

/** Tells what became of an input: a property that only ever sees refused ones shows nothing. */
export type Count = (outcome: string) => void;

/** More than any input takes on the slowest machine; a parser that needs time in the square of the length takes more. */
const MAX_MS = 2000;

/** A property of one kind of input. */
export function fuzz<T>(
  name: string,
  share: number,
  inputs: fc.Arbitrary<T>,
  check: (input: T, count: Count) => void,
): Fuzz {
  const property = (count: Count): fc.IRawProperty<unknown, boolean> =>
    fc.property(inputs, (input) => {
      const started = performance.now();
      check(input, count);
      mustBeQuick(started);
    }) as fc.IRawProperty<unknown, boolean>;
  return { name, share, property };
}

/** As `fuzz`, for a check that has to wait. */
export function fuzzAsync<T>(
  name: string,
  share: number,
  inputs: fc.Arbitrary<T>,
  check: (input: T, count: Count) => Promise<void>,
): Fuzz {
  const property = (count: Count): fc.IRawProperty<unknown, boolean> =>
    fc.asyncProperty(inputs, async (input) => {
      const started = performance.now();
      await check(input, count);
      mustBeQuick(started);
    }) as fc.IRawProperty<unknown, boolean>;
  return { name, share, property };
}

function mustBeQuick(started: number): void {
  const took = performance.now() - started;
  if (took > MAX_MS) throw new Error(`it took ${Math.round(took)} ms`);
}
