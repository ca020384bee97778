import { describe, expect, it } from "vitest";
import { phys } from "../../../src/base/address.ts";
import type { HostWindow } from "../../../src/target/memory/channel.ts";
import { informative, OWN_PROOF, PROOF, Trust } from "../../../src/target/memory/trust.ts";
import { toldByte } from "../../support/fake-host.ts";

const window = (start: number): HostWindow => ({ start: phys(start), size: 0x100000n, fd: 3, position: start });
const page = (number: number, length = 4096): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => toldByte(number * 4096 + i));

describe("a page", () => {
  it.each([
    ["zero", () => 0],
    ["erased flash", () => 0xff],
    ["a poison of four bytes", (i: number) => [0xef, 0xbe, 0xad, 0xde][i % 4]],
    ["the same descriptor over and over", (i: number) => (i % 8 === 0 ? 0x43 : 0)],
  ])("that is all %s says nothing", (_, byte) => {
    expect(informative(Uint8Array.from({ length: 4096 }, (__, i) => byte(i) ?? 0))).toBe(false);
  });

  it("with one byte that is different says something", () => {
    const bytes = new Uint8Array(4096);
    bytes[4095] = 1;
    expect(informative(bytes)).toBe(true);
  });

  it("says nothing when only little of it was read", () => {
    expect(informative(page(1, 511))).toBe(false);
    expect(informative(page(1, 512))).toBe(true);
  });
});

describe("a channel", () => {
  const [ram, flash] = [window(0x40000000), window(0)];

  it(`is proven by ${PROOF} different pages, and a window by ${OWN_PROOF} of its own`, () => {
    const trust = new Trust();
    for (let i = 1; i < PROOF; i++) trust.agreed(ram, page(i));
    expect([trust.provenWhole, trust.proven(ram)]).toEqual([false, false]);
    trust.agreed(ram, page(PROOF));
    expect([trust.provenWhole, trust.proven(ram), trust.proven(flash)]).toEqual([true, true, false]);
    trust.agreed(flash, page(100));
    expect(trust.proven(flash)).toBe(false);
    trust.agreed(flash, page(101));
    expect(trust.proven(flash)).toBe(true);
  });

  it("is not proven by one page again and again, nor by copies of it", () => {
    const trust = new Trust();
    for (let i = 0; i < 100; i++) trust.agreed(ram, page(1));
    expect(trust.provenWhole).toBe(false);
  });

  it("is not proven by any number of blank pages", () => {
    const trust = new Trust();
    for (let i = 0; i < 256; i++) trust.agreed(ram, new Uint8Array(4096).fill(i));
    expect(trust.provenWhole).toBe(false);
  });

  it("counts each page of a long piece", () => {
    const trust = new Trust();
    trust.agreed(ram, Buffer.concat(Array.from({ length: PROOF }, (_, i) => page(i))));
    expect(trust.proven(ram)).toBe(true);
  });

  it("forgets a window that is gone; what the channel has proven stays", () => {
    const trust = new Trust();
    for (let i = 0; i < PROOF; i++) trust.agreed(ram, page(i));
    trust.keepOnly([flash]);
    expect([trust.provenWhole, trust.proven(ram)]).toEqual([true, false]);
  });
});
