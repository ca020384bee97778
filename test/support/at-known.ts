/**
 * Where QEMU's AT is known to say something else than the Arm ARM (DDI 0487), by name. Each is as narrow as its cause.
 */
import type { Translation } from "../../src/aarch64/translate.ts";
import type { Answer, Aspect } from "./at-answers.ts";
import type { Configuration } from "./at-guest.ts";

export type QemuVersion = "7.2" | "10.0";

interface Case {
  readonly configuration: Configuration;
  readonly va: bigint;
  readonly answer: Answer;
  readonly said: Translation;
}

interface KnownDifference {
  readonly name: string;
  /** The versions it was seen on. 10.0 was asked about stage 1 only. */
  readonly versions: readonly QemuVersion[];
  /** In what the two differ; they agree in what is compared before. */
  readonly aspect: Aspect;
  readonly why: string;
  applies(each: Case): boolean;
}

const HCR_VM_OR_DC = (1n << 0n) | (1n << 12n);
const HCR_FWB = 1n << 46n;

function hcrHas({ registers }: Configuration, bits: bigint): boolean {
  return ((registers.hcr ?? 0n) & bits) !== 0n;
}

interface Form {
  readonly granuleBits: number;
  /** FEAT_LPA2 in use. */
  readonly wide: boolean;
}

function field(value: bigint, low: number, width: number): number {
  return Number((value >> BigInt(low)) & ((1n << BigInt(width)) - 1n));
}

/** The form of the tables of a stage at an address, from the TCR or VTCR that the guest wrote. */
function formOf({ regime, registers: { tcr = 0n, vtcr = 0n } }: Configuration, va: bigint, stage: 1 | 2): Form {
  if (stage === 2) {
    return { granuleBits: [12, 16, 14][field(vtcr, 14, 2)] ?? 0, wide: field(vtcr, 32, 1) === 1 };
  }
  if (!regime.includes("&")) {
    return { granuleBits: [12, 16, 14][field(tcr, 14, 2)] ?? 0, wide: field(tcr, 32, 1) === 1 };
  }
  const upper = field(va, 55, 1) === 1;
  const granuleBits = upper ? [0, 14, 12, 16][field(tcr, 30, 2)] : [12, 16, 14][field(tcr, 14, 2)];
  return { granuleBits: granuleBits ?? 0, wide: field(tcr, 59, 1) === 1 };
}

/** Levels above the highest with blocks (D8.3.1), where 0b01 is reserved. */
function hasNoBlocks({ granuleBits, wide }: Form, level: number, largeAddresses: boolean): boolean {
  if (granuleBits === 12) return level < (wide ? 0 : 1);
  if (granuleBits === 14) return level < (wide ? 1 : 2);
  return level < (largeAddresses ? 1 : 2);
}

const KNOWN: readonly KnownDifference[] = [
  {
    name: "shareability of Device and Non-cacheable memory",
    versions: ["7.2"],
    aspect: "shareability",
    why: "PAR_EL1.SH is Outer Shareable for these (D24.2 PAR_EL1); without stage 2 QEMU 7.2 gives the descriptor's SH.",
    applies({ configuration, answer, said }) {
      if (answer.kind !== "done" || said.mapped !== true || hcrHas(configuration, HCR_VM_OR_DC)) return false;
      const { memory, shareability } = said.attributes;
      return /^(Device-|Normal NC$)/.test(memory) && shareability === "outer";
    },
  },
  {
    name: "a block at a level that has none",
    versions: ["7.2"],
    aspect: "mapping",
    why: "0b01 is reserved at level 0, at level 1 with 16 KiB unless TCR_ELx.DS = 1, and with 64 KiB unless there is FEAT_LPA (D8.3.1): a Translation fault. QEMU 7.2 takes it for a block.",
    applies({ configuration, va, answer, said }) {
      if (said.mapped !== false || said.fault.kind !== "translation" || said.fault.onWalk) return false;
      const { stage, level } = said.fault;
      const reserved = hasNoBlocks(formOf(configuration, va, stage), level, configuration.largeAddresses);
      return reserved && !(answer.kind === "fault" && answer.fault === "translation");
    },
  },
  {
    name: "output address bits 51:48 when IPS says less",
    versions: ["7.2", "10.0"],
    aspect: "mapping",
    why: "With 64 KiB and FEAT_LPA descriptor bits 15:12 are address bits 51:48 whatever IPS is (AArch64.LeafBase): an Address size fault. QEMU ignores them unless IPS is 52 bits.",
    applies({ configuration, answer, said }) {
      if (said.mapped !== false || said.fault.kind !== "address size" || said.fault.stage !== 1) return false;
      // Only there are they used.
      return configuration.name === "lpa-64k-48-bits" && !(answer.kind === "fault" && answer.fault === "address size");
    },
  },
  {
    name: "stage 1 Non-cacheable over stage 2 Device",
    versions: ["7.2"],
    aspect: "memory",
    why: "The result is stage 2's kind of Device (D8.6). QEMU 7.2 takes the 4 of Non-cacheable's 0x44 for Device-nGnRE.",
    applies({ configuration, answer, said }) {
      if (answer.kind !== "done" || said.mapped !== true || !hcrHas(configuration, HCR_VM_OR_DC)) return false;
      return answer.memory === "Device-nGnRE" && /^Device-n?GRE$/.test(said.attributes.memory);
    },
  },
  {
    name: "the level of a stage 2 fault on a stage 1 walk",
    versions: ["7.2"],
    aspect: "mapping",
    why: "It is stage 2's (D8.15). QEMU 7.2 gives the level that stage 1 was at.",
    applies({ answer, said }) {
      if (answer.kind !== "fault" || said.mapped !== false) return false;
      return answer.onWalk && said.fault.onWalk && said.fault.stage === 2 && said.fault.kind === answer.fault;
    },
  },
  {
    name: "Device over Device with FWB",
    versions: ["7.2"],
    aspect: "memory",
    why: "The stricter one counts (AArch64.S2ApplyFWBMemAttrs, S2CombineS1Device). QEMU 7.2 takes stage 2's.",
    applies({ configuration, answer, said }) {
      if (answer.kind !== "done" || said.mapped !== true || !hcrHas(configuration, HCR_FWB)) return false;
      const strictness = ["Device-GRE", "Device-nGRE", "Device-nGnRE", "Device-nGnRnE"];
      const ours = strictness.indexOf(said.attributes.memory);
      return strictness.includes(answer.memory) && ours > strictness.indexOf(answer.memory);
    },
  },
  {
    name: "shareability of what FWB makes Write-Back",
    versions: ["7.2"],
    aspect: "shareability",
    why: "Device memory of stage 1 is Outer Shareable, or as its descriptor says: IMPLEMENTATION DEFINED (AArch64.S1Translate). QEMU goes by the descriptor.",
    applies({ configuration, answer, said }) {
      if (answer.kind !== "done" || said.mapped !== true || !hcrHas(configuration, HCR_FWB)) return false;
      return said.attributes.memory === "Normal WB RAWA" && said.attributes.shareability === "outer";
    },
  },
];

/** The known differences of a version. */
export function knownDifferences(version: QemuVersion): readonly KnownDifference[] {
  return KNOWN.filter(({ versions }) => versions.includes(version));
}
