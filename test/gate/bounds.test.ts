/** Captures that are made to be costly: a rule gives up, and says so, before it takes long. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Study, studyCapture } from "../../src/diagnose/study.ts";
import type { ImageDetails } from "../../src/efi/images.ts";
import { checkCapture, readPolicy, type Verdict } from "../../src/gate/index.ts";
import { CAPTURE } from "../diagnose/rules/scenes.ts";

const RULES = `ebscope: 1
rules:
  no-write-execute: {}
  runtime-code-read-only: { at: every }
  mappings:
    - memory-type: EfiConventionalMemory
      must-not: [executable]
    - image: "*"
      section: "*"
      must: [executable]
    - range: [${Array.from({ length: 200 }, (_, i) => `${0x40000000 + i * 8192}+0x1000`).join(", ")}]
      must: [executable]
`;

let study: Study;
beforeAll(async () => {
  study = await studyCapture(CAPTURE, "none");
});

async function verdict(changed: Partial<Study>): Promise<Verdict> {
  return checkCapture({ ...study, ...changed }, readPolicy({ name: "p", text: RULES }), { capture: "c" });
}

/** Images all over all memory, each with as many sections as a header may have. */
function images(): readonly ImageDetails[] {
  const [one] = study.images as readonly [ImageDetails];
  const sections = Array.from({ length: 96 }, (_, i) => ({
    name: `.s${i}`,
    offset: i * 0x3000 + 1,
    size: 0x7fff_0000,
    characteristics: 0x6000_0020,
  }));
  return Array.from({ length: 512 }, (_, i) => ({
    ...one,
    name: `image${i}`,
    base: BigInt(i) * 0x1000n,
    size: 1n << 31n,
    runtime: true,
    sections,
  }));
}

describe("a rule that would take too long", () => {
  it("is unknown, and says why", async () => {
    const { rules, state } = await verdict({ images: images() });
    expect(state).toBe("broken");
    for (const { state: each, undecided } of rules) {
      expect(each).toBe("unknown");
      expect(undecided.map(({ message }) => message)).toEqual([
        "the tables, images and memory map have more parts than a rule looks at",
      ]);
    }
  });

  it("is judged where the same capture is an ordinary one", async () => {
    const { rules } = await verdict({});
    expect(rules.map((each) => each.undecided.length)).toEqual([0, 0, 0, 0, 0]);
  });
});
