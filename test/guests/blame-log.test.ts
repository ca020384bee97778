import { describe, expect, it } from "vitest";
import { blameDone, parseBlameLog, readLinkerMap } from "../support/blame-log.ts";

const STORE =
  "blame: 23 store_two store L3 old=0x7be0a70f new=0x6000007be0a78f at=0x7c201050 va=0x7be0a000 pc=0x7c41a990 chain=0x7c41a910,0x47747238";

describe("the log of the guest blame", () => {
  it("is read line by line, as the guest prints it and as ebscope shows it", () => {
    const store = {
      sequence: 23,
      function: "store_two",
      kind: "store",
      what: "L3",
      old: 0x7be0_a70fn,
      new: 0x60_0000_7be0_a78fn,
      at: 0x7c20_1050n,
      va: 0x7be0_a000n,
      count: undefined,
      cpu: 0,
      pc: 0x7c41_a990n,
      chain: [0x7c41_a910n, 0x4774_7238n],
    };
    const many = "blame: 2 store_on_second many L3 old=0x1 new=0x2 at=0x8 va=0x0 count=0x1f4 pc=0x4 cpu=0x1 chain=0xc";
    const console = `guest: start mode=flips el=0x1\r\n${STORE}\r\nguest| ${STORE}\n${many}\r\nblame: done\r\n`;
    expect(parseBlameLog(console)).toEqual([
      store,
      store,
      expect.objectContaining({ cpu: 1, count: 500n, kind: "many" }),
    ]);
  });

  it.each([
    `${STORE},`,
    `${STORE} blame: 24`,
    STORE.replace("store L3", "stored L3"),
    STORE.replace(/ pc=\w+/, ""),
    STORE.replace(/ chain=.*/, ""),
    STORE.replace("old=0x", "old="),
  ])("is refused when a line is damaged: %s", (line) => {
    expect(() => parseBlameLog(`${line}\r\n`)).toThrow(/not a line of the guest/);
  });

  it("ends with done, or with what could not be done", () => {
    expect(blameDone(`${STORE}\r\nblame: done\r\n`)).toBe(true);
    expect(blameDone(`${STORE}\r\nblame: cannot prepare this mode\r\n`)).toBe(false);
    expect(parseBlameLog("blame: cannot prepare this mode\r\n")).toEqual([]);
  });

  it("finds functions in a map of the linker, by their offset", () => {
    const map = [
      " 0001:00001a30       store_two                  0000000140002a30     wide.obj",
      " 0001:00000000       efi_main                   0000000140001000     blame.obj",
      " entry point at        0001:00000000",
    ].join("\r\n");
    expect(readLinkerMap(map)).toEqual([
      { offset: 0x1000n, name: "efi_main" },
      { offset: 0x2a30n, name: "store_two" },
    ]);
  });
});
