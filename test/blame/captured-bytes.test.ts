/** Replaying a record leaves the capture as it is, whatever kind of bytes its pages are: those that come out of a file are Node's Buffers. */
import { expect, it } from "vitest";
import { replayBlame } from "../../src/blame/index.ts";
import { Shadow } from "../../src/capture/blame/shadow.ts";
import { addressOf, blamedGuest, entryOf, LEVEL3, page, READ_ONLY } from "../support/blamed-guest.ts";

it("a write that is done again changes no captured page", () => {
  const guest = blamedGuest();
  const before = guest.point("before");
  for (const [address, read] of before.pages) {
    if (read.state === "present") (before.pages as Map<unknown, unknown>).set(address, buffered(read));
  }
  guest.write(entryOf(3), page(addressOf(3), READ_ONLY), { pc: 0x4020_0000n });
  guest.point("after");
  const effects = replayBlame(guest.capture())?.effects;
  expect(effects?.map(({ va, seen }) => [va, seen])).toEqual([[addressOf(3), true]]);
  const held = before.pages.get(LEVEL3 as never);
  if (held?.state !== "present") throw new Error("the table is not captured");
  expect(Buffer.from(held.bytes).readBigUInt64LE(24)).toBe(page(addressOf(3)));
});

it("a write that a watch follows changes no page that was read", () => {
  const bytes = Buffer.alloc(4096, 0xaa);
  const shadow = new Shadow();
  shadow.set(LEVEL3 as never, { state: "present", bytes });
  shadow.write(entryOf(3) as never, 5n);
  expect(shadow.word(entryOf(3) as never)).toBe(5n);
  expect(bytes.every((byte) => byte === 0xaa)).toBe(true);
});

/** As a part of a larger Buffer. */
function buffered(read: { readonly bytes: Uint8Array }): object {
  const whole = Buffer.concat([Buffer.alloc(4096), read.bytes]);
  return { ...read, bytes: whole.subarray(4096) };
}
