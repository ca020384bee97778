/** The language of conditions, addresses and lengths. */
import { describe, expect, it } from "vitest";
import { EbscopeError } from "../../src/base/error.ts";
import { type Expression, parseExpression, type Scope } from "../../src/plan/index.ts";

const REGISTERS: Readonly<Record<string, bigint>> = {
  x0: 0x8000_0000_0000_0005n,
  x1: 0x4010n,
  x2: 0xffff_ffff_ffff_fff0n,
  x29: 0x1000n,
  x30: 0x2000n,
  sp: 0x3000n,
  pc: 0x4000n,
  SCTLR_EL1: 0x30d5_180dn,
};
const MEMORY: Readonly<Record<string, bigint>> = { "0x100:1": 0xabn, "0x100:8": 0x200n, "0x200:4": 7n };
const PLACES: Readonly<Record<string, bigint>> = {
  gBS: 0x5000n,
  DxeCore: 0x6000n,
  "DxeCore!Core": 0x6100n,
  "a-b.c": 1n,
};

function scopeOf(asked: string[] = []): Scope {
  const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
    Object.hasOwn(record, name) ? record[name] : undefined;
  return {
    register: (name) => own(REGISTERS, name),
    field: (register, field) => (register === "SCTLR_EL1" && field === "M" ? 1n : undefined),
    memory: async (address, size) => {
      asked.push(`0x${address.toString(16)}:${size}`);
      return own(MEMORY, asked.at(-1) ?? "");
    },
    place: async (name) => own(PLACES, name),
  };
}

async function value(text: string): Promise<bigint | string> {
  const result = await parseExpression(text).evaluate(scopeOf());
  return result.state === "known" ? result.value : result.why;
}

describe("an expression", () => {
  it.each<[string, bigint]>([
    ["0x1_000", 0x1000n],
    ["0b1010", 10n],
    ["1_000_000", 1_000_000n],
    ["4KiB + 1MiB + 1GiB", 0x4010_1000n],
    ["0xffff_ffff_ffff_ffff", (1n << 64n) - 1n],
    ["1 + 2 * 3", 7n],
    ["(1 + 2) * 3", 9n],
    ["10 - 4 - 3", 3n],
    ["100 / 7 % 4", 2n],
    ["1 << 4 + 1", 32n],
    ["0xf0 | 0x0f & 0x3", 0xf3n],
    ["6 ^ 3 | 8", 13n],
    ["1 | 2 == 3", 1n],
    ["x1 & 0x4000 != 0", 1n],
    ["1 < 2 && 2 < 3 || 1 / 0", 1n],
    ["!0 + !5", 1n],
    ["~0", (1n << 64n) - 1n],
    ["-1 >> 63", 1n],
    ["- -3", 3n],
  ])("%s is %s: operators bind as the page says", async (text, wanted) => {
    expect(await value(text)).toBe(wanted);
  });

  it.each<[string, bigint]>([
    ["0xffff_ffff_ffff_ffff + 2", 1n],
    ["0 - 1", (1n << 64n) - 1n],
    ["0x8000_0000_0000_0000 * 2", 0n],
    ["1 << 63", 1n << 63n],
    ["1 << 64", 0n],
    ["1 >> 64", 0n],
    ["1 << 0xffff_ffff_ffff_ffff", 0n],
    ["x0 > 1", 1n],
    ["slt(x0, 1)", 1n],
    ["sgt(1, -1)", 1n],
    ["sle(-1, -1) & sge(-1, -1)", 1n],
    ["asr(-16, 2)", (1n << 64n) - 4n],
    ["asr(-16, 200)", (1n << 64n) - 1n],
    ["sext(0x80, 8)", (1n << 64n) - 128n],
    ["sext(0x7f, 8)", 0x7fn],
    ["x0[63]", 1n],
    ["x1[15:12]", 4n],
    ["x0[63:0]", 0x8000_0000_0000_0005n],
    ["(x1 + 0x10)[7:0]", 0x20n],
  ])("%s is %s: values have 64 bits", async (text, wanted) => {
    expect(await value(text)).toBe(wanted);
  });

  it.each<[string, bigint]>([
    ["X1", 0x4010n],
    ["w0", 5n],
    ["wsp", 0x3000n],
    ["fp + lr", 0x3000n],
    ["pc", 0x4000n],
    ["sctlr_el1", 0x30d5_180dn],
    ["SCTLR_EL1.M", 1n],
    ["gBS + 0xe8", 0x50e8n],
    ["DxeCore!Core - DxeCore", 0x100n],
    ['"a-b.c" + 1', 2n],
    ["u8[0x100]", 0xabn],
    ["u32[u64[0x100]] == 7", 1n],
  ])("%s reaches the stopped guest: %s", async (text, wanted) => {
    expect(await value(text)).toBe(wanted);
  });

  it.each([
    ["x7", "x7 is not known"],
    ["SCTLR_EL1.Z", "SCTLR_EL1.Z is not known"],
    ["u64[8]", "u64[0x8] cannot be read"],
    ["u64[x7]", "x7 is not known"],
    ["nowhere + 1", "nowhere is not known"],
    ["1 / 0", "it divides by zero"],
    ["1 % (x1 - x1)", "it divides by zero"],
    ["x7 * 0", "x7 is not known"],
    ["x7 && 1", "x7 is not known"],
    ["1 && x7", "x7 is not known"],
    ["0 || x7", "x7 is not known"],
    ["!x7", "x7 is not known"],
    ["sext(1, 65)", "sext takes a width from 1 to 64"],
    ["sext(1, 0)", "sext takes a width from 1 to 64"],
  ])("%s is unknown: %s", async (text, why) => {
    expect(await value(text)).toBe(why);
  });

  it.each<[string, bigint]>([
    ["x7 && 0", 0n],
    ["0 && x7", 0n],
    ["x7 || 5", 1n],
    ["5 || x7", 1n],
  ])("%s is %s: one side decides", async (text, wanted) => {
    expect(await value(text)).toBe(wanted);
  });

  it("does not look at the right side when the left one decides", async () => {
    const asked: string[] = [];
    await parseExpression("0 && u8[1] || 1 || u8[2]").evaluate(scopeOf(asked));
    expect(asked).toEqual([]);
  });

  it("reads memory 64 times at most", async () => {
    const asked: string[] = [];
    const reads = (count: number) => parseExpression(Array(count).fill("u8[0x100]").join(" + "));
    expect(await reads(64).evaluate(scopeOf(asked))).toEqual({ state: "known", value: 64n * 0xabn });
    expect(asked.length).toBe(64);
    const more = await reads(65).evaluate(scopeOf(asked));
    expect(more).toEqual({ state: "unknown", why: "it reads memory more than 64 times" });
    expect(asked.length).toBe(128);
  });

  it("says what it names, and where", () => {
    const expression = parseExpression("w3 == 1 && u32[ELR_EL1 + DxeCore] && lr && cpsr.M");
    expect([...expression.registers]).toEqual(["x3", "ELR_EL1", "x30", "cpsr"]);
    expect(expression.readsMemory).toBe(true);
    expect(expression.mentions).toContainEqual({ kind: "place", name: "DxeCore", offset: 25 });
    expect(expression.mentions.at(-1)).toEqual({ kind: "register", name: "cpsr", field: "M", offset: 43 });
    expect(expression.constant).toBeUndefined();
    expect(parseExpression("4KiB / 2").constant).toBe(2048n);
  });

  it("is worked out at once from registers alone", () => {
    const now = (text: string) => parseExpression(text).evaluateNow(scopeOf());
    expect(now("x1 == 0x4010")).toEqual({ state: "known", value: 1n });
    expect(now("u8[0x100]")).toEqual({ state: "unknown", why: "u8[0x100] cannot be read" });
    expect(now("gBS || 1")).toEqual({ state: "known", value: 1n });
  });

  it("passes on what the guest throws while it is read", async () => {
    const lost = new EbscopeError("connection-lost", "gone");
    const scope: Scope = { ...scopeOf(), memory: () => Promise.reject(lost) };
    await expect(parseExpression("u8[1]").evaluate(scope)).rejects.toBe(lost);
  });
});

describe("a name of JavaScript", () => {
  const names = [
    "constructor",
    "__proto__",
    "prototype",
    "toString",
    "process",
    "globalThis",
    "require",
    "eval",
    "this",
  ];

  it.each(names)("%s is a place that nobody knows", async (name) => {
    expect(parseExpression(name).mentions).toEqual([{ kind: "place", name, offset: 0 }]);
    expect(await value(name)).toBe(`${name} is not known`);
  });

  it.each([
    ...names.map((name) => `${name}(1, 2)`),
    "x0.constructor.constructor(1)",
    "x0['constructor']",
    "`$x0`",
    "x0;x1",
  ])("%s is no expression", (text) => {
    expect(() => parseExpression(text)).toThrow(expect.objectContaining({ code: "bad-expression" }));
  });
});

describe("a mistake in an expression", () => {
  it.each([
    ["x0 = 0", 4, "= is no operator"],
    ["", 1, "it ends too early"],
    ["x0 ==", 6, "it ends too early"],
    ["x0 == == 1", 7, "== cannot stand here"],
    ["(x0 + 1", 8, "it ends too early"],
    ["x0 + 1)", 7, ") cannot stand here"],
    ["u32[x0", 7, "it ends too early"],
    ["1 < 2 < 3", 7, "a comparison stands behind a comparison"],
    ["0x", 1, "0x is no number"],
    ["12ab", 1, "12ab is no number"],
    ["1__0", 1, "1__0 is no number"],
    ["0x1_0000_0000_0000_0000", 1, "0x1_0000_0000_0000_0000 has more than 64 bits"],
    ["17179869184GiB", 1, "17179869184GiB has more than 64 bits"],
    ["x0 @ 1", 4, "@ has no meaning here"],
    ["x0 \u202e 1", 4, "\\u{202e} has no meaning here"],
    ['"open', 1, "a quotation mark is not closed"],
    ['""', 1, "a name is empty"],
    ["gBS.x", 4, "only registers have fields"],
    ["SCTLR_EL1.", 11, "it ends too early"],
    ["slx(1, 2)", 1, "slx is no function"],
    ["slt(1)", 6, ") cannot stand here"],
    ["slt(1, 2, 3)", 9, ", cannot stand here"],
    ["x0[64]", 4, "64 cannot stand here"],
    ["x0[3:5]", 3, "the lower bit stands first"],
    ["x0[x1]", 4, "x1 cannot stand here"],
    ["x0 x1", 4, "x1 cannot stand here"],
  ])("in %j is at column %i: %s", (text, column, message) => {
    expect(() => parseExpression(text)).toThrow(
      expect.objectContaining({
        code: "bad-expression",
        message: expect.stringContaining(`column ${column}: ${message}`),
      }),
    );
  });

  it("names what may have been meant", () => {
    expect(() => parseExpression("slr(1, 2)")).toThrow(
      expect.objectContaining({ next: expect.stringMatching(/Did you mean/) }),
    );
  });

  const parsed = (text: string): Expression | string => {
    try {
      return parseExpression(text);
    } catch (error) {
      return (error as Error).message;
    }
  };

  it.each([
    ["4,097 characters", " ".repeat(4096) + 1, /longer than 4096/],
    ["65 parentheses", "(".repeat(65) + 1 + ")".repeat(65), /nested too deeply/],
    ["65 signs", `${"-".repeat(65)}1`, /nested too deeply/],
    ["513 parts", Array(257).fill("1").join("+"), /too many parts/],
    ["a long name", "a".repeat(129), /a name is too long/],
  ])("is also more than is read: %s", (_name, text, why) => {
    expect(parsed(text)).toMatch(why);
  });

  it.each([
    ["4,096 characters", " ".repeat(4095) + 1],
    ["63 parentheses", "(".repeat(63) + 1 + ")".repeat(63)],
    ["511 parts", Array(256).fill("1").join("+")],
  ])("is not what just fits: %s", (_name, text) => {
    expect(parsed(text)).toMatchObject({ readsMemory: false });
  });
});
