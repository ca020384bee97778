import { describe, expect, it } from "vitest";
import {
  describeRegister,
  exceptionClass,
  memoryType,
  type RegisterVariant,
  systemRegisterName,
} from "../../src/aarch64/registers/index.ts";
import {
  CACHE_POLICY_FACTS,
  ENCODING_FACTS,
  EXCEPTION_CLASS_FACTS,
  REGISTER_FACTS,
  type RegisterFacts,
} from "./fixtures/registers-second-source.ts";

/** "63:48 ASID" and "0 CnP" to "ASID 63:48" and "CnP 0:0". */
function parseFacts(facts: RegisterFacts): readonly string[] {
  return facts.fields.split(",").map((line) => {
    const [place, name] = line.trim().split(" ");
    const [high, low] = (place ?? "").split(":");
    return `${name} ${high}:${low ?? high}`;
  });
}

function ours(facts: RegisterFacts): readonly string[] {
  const variant: RegisterVariant = { e2h: facts.e2h ?? false, value: facts.value ?? 0n };
  const fields = describeRegister(facts.register, variant)?.fields ?? [];
  return fields.map((field) => `${field.name} ${field.high}:${field.low}`);
}

describe("the tables against a second source", () => {
  it.each(REGISTER_FACTS.map((facts) => [facts.register, facts.origin, facts] as const))(
    "%s has the fields that %s has",
    (_register, _origin, facts) => {
      const theirs = parseFacts(facts);
      if (facts.complete) expect(ours(facts)).toEqual(theirs);
      else expect(ours(facts)).toEqual(expect.arrayContaining([...theirs]));
    },
  );

  it.each(EXCEPTION_CLASS_FACTS.map(([ec, word]) => [`0x${ec.toString(16)}`, ec, word] as const))(
    "exception class %s has the name that others give it",
    (_hex, ec, word) => {
      expect(exceptionClass(ec)).toMatch(word);
    },
  );

  it("leaves the reserved exception classes without a name", () => {
    for (const ec of [0x02, 0x0b, 0x0f, 0x10, 0x23, 0x29, 0x2a, 0x2b, 0x2e, 0x36, 0x37, 0x39, 0x3b, 0x3e, 0x3f]) {
      expect(exceptionClass(ec), ec.toString(16)).toBeUndefined();
    }
  });

  it.each(ENCODING_FACTS)("names the encoding %s", (line) => {
    const [op0, op1, crn, crm, op2, ...name] = line.split(" ");
    const numbers = { op0: Number(op0), op1: Number(op1), crn: Number(crn), crm: Number(crm), op2: Number(op2) };
    expect(systemRegisterName(numbers)).toBe(name.join(" "));
  });

  it.each(CACHE_POLICY_FACTS.map(([half, words]) => [`0x${half.toString(16)}`, half, words] as const))(
    "names the half %s of a Normal attribute",
    (_hex, half, words) => {
      expect(memoryType((half << 4) | half)).toBe(`Normal ${words}`);
    },
  );
});
