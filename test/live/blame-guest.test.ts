/**
 * Whether the guest blame says the truth about itself, as it is the truth for others: what gdb finds at the addresses it prints, what the
 * linker put there, and what memory and registers hold in the end.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Deed, type DeedKind, parseBlameLog, readLinkerMap } from "../support/blame-log.ts";
import { Guest, gdb, guestLine, ROOT, temporaryFolder } from "../support/live.ts";

const FOLDER = join(ROOT, "examples/guests/blame");

/** What each kind of line claims, as gdb writes instructions. */
const INSTRUCTION: Record<DeedKind, RegExp> = {
  store: /^(st|dc\s+zva)/,
  early: /^str/,
  late: /^str/,
  many: /^str/,
  memory: /^str/,
  register: /^msr/,
  tlbi: /^tlbi/,
  load: /^ldr/,
};

/** How QEMU 7.2 calls registers. */
const REGISTER_NAMES: Record<string, string> = { SCTLR_EL1: "SCTLR", VBAR_EL1: "VBAR", CPACR_EL1: "CPACR" };

const folder = temporaryFolder();
let functions: ReturnType<typeof readLinkerMap>;
beforeAll(() => {
  const map = join(folder.path, "blame.map");
  execFileSync("bash", [join(FOLDER, "build"), join(folder.path, "blame.efi"), map]);
  functions = readLinkerMap(readFileSync(map, "latin1"));
});
afterAll(() => folder[Symbol.dispose]());

function functionAt(offset: bigint): string | undefined {
  return functions.findLast((symbol) => symbol.offset <= offset)?.name;
}

interface Seen {
  readonly deeds: readonly Deed[];
  readonly base: bigint;
  readonly size: bigint;
  /** What gdb prints for an instruction. */
  readonly instructions: ReadonlyMap<bigint, string>;
  /** What memory holds at the end. */
  readonly words: ReadonlyMap<bigint, bigint>;
  readonly gdbSays: (...commands: readonly string[]) => Promise<string>;
}

/** Runs a mode to its end, and looks at the guest then. */
async function run(mode: string, machine: string, look: (seen: Seen) => Promise<void> | void): Promise<void> {
  await using guest = new Guest({ kernel: join(FOLDER, "blame.efi"), append: `mode=${mode} n=1000`, machine, smp: 2 });
  await guest.shows(/blame: done/);
  const deeds = parseBlameLog(guest.console);
  const image = guestLine(guest.console, "image");
  const code = [...new Set(deeds.flatMap(({ pc, chain }) => [pc, ...chain.map((back) => back - 4n)]))];
  const data = [...new Set(deeds.flatMap(({ at }) => (at === undefined ? [] : [at])))];
  const said = await gdb(guest, ...code.map((at) => `x/i ${at}`), ...data.map((at) => `x/gx ${at}`));
  const read = [...said.matchAll(/^(?:=>)?\s*0x([0-9a-f]+):\t(.*)$/gm)].map(
    ([, at = "", text = ""]) => [BigInt(`0x${at}`), text] as const,
  );
  await look({
    deeds,
    base: BigInt(image.base ?? ""),
    size: BigInt(image.size ?? ""),
    instructions: new Map(read.slice(0, code.length)),
    words: new Map(read.slice(code.length).map(([at, text]) => [at, BigInt(text)])),
    gdbSays: (...commands) => gdb(guest, ...commands),
  });
}

/** What is the same for every mode. */
function expectTruth({ deeds, base, size, instructions }: Seen): void {
  const own = (address: bigint): boolean => address >= base && address < base + size;
  for (const deed of deeds) {
    expect(instructions.get(deed.pc), `line ${deed.sequence}`).toMatch(INSTRUCTION[deed.kind]);
    if (own(deed.pc)) expect(functionAt(deed.pc - base)).toBe(deed.function);
    else expect(deed.function).toBe("copied_code");
    // Behind this application's last frame, the firmware's lead to a stack that was entered without a call.
    const chain = deed.chain.slice(0, deed.chain.findLastIndex(own) + 1);
    for (const back of chain) expect(instructions.get(back - 4n), `line ${deed.sequence}`).toMatch(/^blr?\s/);
    const callers = chain.filter(own).map((back) => functionAt(back - base - 4n));
    expect(callers.at(-1)).toBe(deed.cpu === 0 ? "efi_main" : "second_cpu_entry");
  }
}

describe("what the guest blame prints", () => {
  it.each([
    ["flips", "virt"],
    ["forms", "virt,virtualization=on"],
    ["newtable", "virt"],
    ["switch", "virt,virtualization=on"],
    ["notlbi", "virt"],
    ["twocpus", "virt"],
  ])("is the truth about each store of mode %s on %s", (mode, machine) =>
    run(mode, machine, (seen) => {
      expectTruth(seen);
      const last = new Map(seen.deeds.flatMap((deed) => (deed.at === undefined ? [] : [[deed.at, deed.new]])));
      expect(last.size).toBeGreaterThan(1);
      expect(seen.words).toEqual(last);
    }),
  );

  it("is the truth about each register of mode registers", () =>
    run("registers", "virt", async (seen) => {
      expectTruth(seen);
      const last = new Map(seen.deeds.flatMap((deed) => (deed.kind === "register" ? [[deed.what, deed.new]] : [])));
      const said = await seen.gdbSays(...[...last.keys()].map((name) => `p/x $${REGISTER_NAMES[name] ?? name}`));
      expect([...said.matchAll(/^\$\d+ = (0x[0-9a-f]+)$/gm)].map(([, value = ""]) => BigInt(value))).toEqual([
        ...last.values(),
      ]);
      expect(last.size).toBe(5);
    }));
});
