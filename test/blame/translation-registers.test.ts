import { expect, it } from "vitest";
import { liveRegimes } from "../../src/aarch64/regime.ts";
import { TRANSLATION_REGISTERS } from "../../src/blame/translation-registers.ts";
import { anyWorld } from "../support/tables.ts";

it("the list holds every register that deciding on regimes asks for", () => {
  const asked = new Set<string>();
  for (let seed = 0; seed < 600; seed++) {
    const { registers } = anyWorld(seed);
    for (const cpsr of [0n, 5n, 9n, 13n]) {
      const get = (name: string): bigint | undefined => {
        asked.add(name);
        return name === "cpsr" ? cpsr : registers.get(name);
      };
      liveRegimes({ get });
    }
  }
  expect([...asked].filter((name) => !TRANSLATION_REGISTERS.includes(name))).toEqual([]);
  expect(asked.size).toBeGreaterThan(30);
});
