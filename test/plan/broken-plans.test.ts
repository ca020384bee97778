/** Plans that are broken at random, the same in each run: each is used, or refused with places and cures. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import type { EbscopeError } from "../../src/base/error.ts";
import { readPlan } from "../../src/plan/index.ts";
import { Random } from "../support/random.ts";

vi.setConfig({ testTimeout: 120_000 });

const page = readFileSync(join(fileURLToPath(new URL("../..", import.meta.url)), "docs/plans.md"), "utf8");
const PLANS = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
const PIECES = [
  ...[
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "#",
    " #",
    "&a ",
    "*a",
    "!",
    "!!map ",
    "|\n",
    ">-\n",
    "? ",
    "<<: *a",
    "---\n",
    "%",
  ],
  ...[
    '"',
    "'",
    "0x",
    "1e999",
    ".nan",
    "null",
    "~",
    "true",
    "__proto__",
    "constructor",
    "\0",
    "\u202e",
    "\ud800",
    "::error::",
    "\x1b[31m",
  ],
  ...[
    "at",
    "if",
    "hit",
    "record",
    "points",
    "from",
    "to",
    "x0 == 1",
    "write(x0, 8)",
    "vector(",
    "../x",
    "99999999999999999999",
  ],
];
const COUNT = 3_000;

function broken(text: string, random: Random): string {
  const letters = [...text];
  for (let i = random.between(1, 4); i > 0; i--) {
    const added = random.chance(0.7) ? [random.pick(PIECES)] : [];
    letters.splice(random.below(letters.length + 1), random.below(random.pick([2, 2, 40])), ...added);
  }
  return letters.join("");
}

it(`${COUNT} broken plans are used, or refused with line, column and cure on lines that may be printed`, () => {
  const random = new Random(20_260_108);
  const counts = { used: 0, refused: 0 };
  for (let i = 0; i < COUNT; i++) {
    const text = broken(random.pick(PLANS), random);
    try {
      readPlan({ name: "p.yaml", text });
      counts.used++;
    } catch (error) {
      counts.refused++;
      expect(error, text).toMatchObject({ code: "bad-document" });
      const [title, ...lines] = (error as EbscopeError).message.split("\n");
      expect(title).toMatch(/^Cannot use p\.yaml: \d+ mistakes?$/);
      const height = text.split("\n").length;
      for (const line of lines) {
        const [, at] = /^p\.yaml:(\d+):[1-9]\d*: .+\. .+[.?]$/.exec(line) ?? [];
        expect(Number(at), `${line}\n${text}`).toBeLessThanOrEqual(height);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
        expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]/);
      }
    }
  }
  expect(Math.min(counts.used, counts.refused)).toBeGreaterThan(COUNT / 20);
});
