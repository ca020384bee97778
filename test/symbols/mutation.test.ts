/**
 * Damaged symbol files: 20,000 of them. Each is read or refused with an EbscopeError; whatever is read answers look-ups with printable names.
 */

import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import type { SymbolFile } from "../../src/symbols/symbol-file.ts";
import { Random } from "../support/random.ts";
import { damaged } from "./damage.ts";
import { parsed } from "./files.ts";

const ROUNDS = 20_000;
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** What of it may reach a terminal. */
function shownTexts(file: SymbolFile, random: Random): string[] {
  const some = Array.from({ length: 8 }, () => file.symbols.at(random.below(file.symbols.length)));
  const near = some.map((entry) => file.symbols.lookup((entry?.value ?? 0n) + BigInt(random.below(64))));
  const found = some.filter((entry) => entry !== undefined && file.symbols.find(entry.name).includes(entry.value));
  const names = [...some, ...near, ...found].flatMap((entry) => entry?.name ?? []);
  return [file.name, file.buildId ?? "", ...names, ...file.sections.map(({ name }) => name)];
}

describe(`${ROUNDS} damaged symbol files`, () => {
  it("are read or refused, and nothing in them reaches a terminal unescaped", async () => {
    const random = new Random(5);
    const outcomes = { read: 0, refused: 0 };
    const offences: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = damaged(random);
      try {
        const file = await parsed(bytes);
        outcomes.read++;
        const text = shownTexts(file, random).find((each) => UNPRINTABLE.test(each));
        if (text !== undefined) offences.push(`round ${round}: ${JSON.stringify(text)}`);
      } catch (error) {
        outcomes.refused++;
        if (!(error instanceof EbscopeError) || UNPRINTABLE.test(error.message))
          offences.push(`round ${round}: ${error}`);
      }
    }
    expect(offences).toEqual([]);
    expect(outcomes.read).toBeGreaterThan(ROUNDS / 5);
    expect(outcomes.refused).toBeGreaterThan(ROUNDS / 5);
  }, 60_000);
});
