import { describe, expect, it } from "vitest";
import {
  allSystemEncodings,
  describeRegister,
  exceptionClass,
  memoryType,
  type RegisterVariant,
  systemRegisterName,
} from "../../src/aarch64/registers/index.ts";
import { allSyndromeFields } from "../../src/aarch64/registers/syndrome-fields.ts";
import { LINUX_ENCODING_DIFFERENCES, LINUX_ENCODINGS } from "./fixtures/linux-encodings.ts";
import { LINUX_DIFFERENCES, LINUX_FIELDS, type LinuxDifference } from "./fixtures/linux-sysreg.ts";
import {
  CACHE_POLICY_FACTS,
  ENCODING_FACTS,
  EXCEPTION_CLASS_FACTS,
  REGISTER_FACTS,
  SYNDROME_FACTS,
} from "./fixtures/registers-second-source.ts";

/** "63:48 ASID, 0 CnP" to "ASID 63:48" and "CnP 0:0". */
function parseFields(fields: string): readonly string[] {
  return fields.split(",").map((line) => {
    const [place, name] = line.trim().split(/\s+/);
    const [high, low] = (place ?? "").split(":");
    return `${name} ${high}:${low ?? high}`;
  });
}

function ours(register: string, variant: RegisterVariant): readonly string[] {
  const fields = describeRegister(register, variant)?.fields ?? [];
  return fields.map((field) => `${field.name} ${field.high}:${field.low}`);
}

/** The registers of LINUX_FIELDS, each with its fields. */
function parseLinuxFields(): readonly (readonly [register: string, fields: readonly string[]])[] {
  const entries = LINUX_FIELDS.trim().split(/\n(?! )/);
  return entries.flatMap((entry) => {
    const [registers, fields] = entry.split(": ", 2);
    return (registers ?? "").split(" ").map((register) => [register, parseFields(fields ?? "")] as const);
  });
}

const differencesOf = (register: string): readonly LinuxDifference[] =>
  LINUX_DIFFERENCES.filter((difference) => difference.registers.split(" ").includes(register));

/** What Linux says of a register, with the known differences put right. */
function corrected(register: string, fields: readonly string[]): readonly string[] {
  const differences = differencesOf(register);
  const gone = differences.flatMap(({ linux }) => (linux === undefined ? [] : parseFields(linux)));
  const added = differences.flatMap(({ ours }) => (ours === undefined ? [] : parseFields(ours)));
  return [...fields.filter((field) => !gone.includes(field)), ...added].toSorted();
}

/** Linux's encodings as place and name: `3 0 1 0 0`, `SCTLR_EL1`. */
function parseLinuxEncodings(): readonly (readonly [place: string, name: string])[] {
  return LINUX_ENCODINGS.trim()
    .split(/\n|; /)
    .flatMap((group) => {
      const [place, entries] = group.split(": ");
      return (entries ?? "").split(", ").map((entry) => {
        const [op2, name] = entry.split(" ");
        return [`${place} ${op2}`, name ?? ""] as const;
      });
    });
}

function linuxName(name: string): string {
  const known = LINUX_ENCODING_DIFFERENCES.find(([linux]) => linux === name);
  return (known?.[1] ?? name).toUpperCase().replaceAll(" ", "_");
}

describe("the tables against a second source", () => {
  it.each(REGISTER_FACTS.map((facts) => [facts.register, facts.origin, facts] as const))(
    "%s has the fields that %s has",
    (_register, _origin, facts) => {
      const theirs = parseFields(facts.fields);
      const mine = ours(facts.register, { e2h: facts.e2h ?? false, value: facts.value ?? 0n });
      if (facts.complete) expect(mine).toEqual(theirs);
      else expect(mine).toEqual(expect.arrayContaining([...theirs]));
    },
  );

  it.each(parseLinuxFields())("%s has the fields that Linux has, and no others", (register, theirs) => {
    expect(ours(register, { e2h: true }).toSorted()).toEqual(corrected(register, theirs));
  });

  it("differs from Linux nowhere without need", () => {
    const linux = new Map(parseLinuxFields());
    for (const { registers, linux: theirs, ours: mine, reason } of LINUX_DIFFERENCES) {
      for (const register of registers.split(" ")) {
        const has = linux.get(register) ?? [];
        for (const field of theirs === undefined ? [] : parseFields(theirs)) expect(has, reason).toContain(field);
        for (const field of mine === undefined ? [] : parseFields(mine)) expect(has, reason).not.toContain(field);
      }
    }
  });

  it("holds every register that Linux describes in full and the project has a table for", () => {
    expect(parseLinuxFields().length).toBeGreaterThanOrEqual(69);
  });

  it.each(EXCEPTION_CLASS_FACTS.map(([ec, word]) => [`0x${ec.toString(16)}`, ec, word] as const))(
    "exception class %s has the name that others give it",
    (_hex, ec, word) => {
      expect(exceptionClass(ec)).toMatch(word);
    },
  );

  it.each(
    SYNDROME_FACTS.flatMap(([classes, fields]) => classes.map((ec) => [`0x${ec.toString(16)}`, ec, fields] as const)),
  )("the syndrome of class %s has the fields that Linux has", (_hex, ec, fields) => {
    const mine = new Map(allSyndromeFields()).get(ec)?.map(({ name, high, low }) => `${name} ${high}:${low}`);
    expect(mine).toEqual(expect.arrayContaining([...parseFields(fields)]));
  });

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

  it("names every encoding that Linux names", () => {
    const names = new Map(allSystemEncodings());
    const encodings = parseLinuxEncodings();
    expect(encodings.length).toBeGreaterThan(600);
    for (const [place, name] of encodings) {
      expect(names.get(place)?.toUpperCase().replaceAll(" ", "_"), `${name} ${place}`).toBe(linuxName(name));
    }
  });

  it.each(CACHE_POLICY_FACTS.map(([half, words]) => [`0x${half.toString(16)}`, half, words] as const))(
    "names the half %s of a Normal attribute",
    (_hex, half, words) => {
      expect(memoryType((half << 4) | half)).toBe(`Normal ${words}`);
    },
  );
});
