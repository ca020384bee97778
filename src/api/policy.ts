/**
 * Policies: what a capture has to look like, for `ebscope check`. The one source for their validation, their types and docs/policy.schema.json,
 * whose descriptions editors show. Names are promises to users.
 */
import { type Static, Type } from "typebox";
import { Hex, Nullable } from "./parts.ts";

const closed = { additionalProperties: false } as const;

/** Entries of one list of a policy. */
const MOST = 256;

/** `title` is the noun that messages use. */
const Text = (description: string) =>
  Type.String({ minLength: 1, maxLength: 400, title: "text of 1 to 400 characters", description });
const Name = (title: string, description?: string) =>
  Type.String({ minLength: 1, maxLength: 120, title, ...(description !== undefined && { description }) });
const OneOrMore = <T extends ReturnType<typeof Name>>(item: T, description: string) =>
  Type.Union([item, Type.Array(item, { minItems: 1, maxItems: MOST })], {
    title: `${(item as { title?: string }).title}, or a list of such`,
    description,
  });

const At = Type.Optional(
  OneOrMore(
    Name("the id of a point or `every`"),
    "The points that are looked at: before, after, fault, later, now, …, or `every`. `ebscope show FILE points` lists them.",
  ),
);

/** What every rule may say of itself. */
const common = {
  severity: Type.Optional(
    Type.Enum(["error", "warning"], {
      description: "What it means when the rule is broken. A warning does not break the policy. Default: error.",
    }),
  ),
  reason: Type.Optional(Text("Why the rule is there. Shown when it is broken.")),
  unknown: Type.Optional(
    Type.Enum(["break", "allow"], {
      description:
        "What it means when the rule cannot be decided, as something could not be read. Default: what the policy says.",
    }),
  ),
};

const RANGE =
  "A range of virtual addresses: `START-END` (END not included) or `START+SIZE`, such as `0x9000000+0x1000`.";
const REGIMES = ["EL1&0", "EL2", "EL2&0", "EL3", "stage2"] as const;
const Regime = Type.Enum(REGIMES);
const Regimes = Type.Optional(
  Type.Union([Regime, Type.Array(Regime, { minItems: 1, maxItems: 5 })], {
    description: "Translation regimes. Default: those in use at the point, without stage 2.",
  }),
);

/** Which mapped memory is meant. Of several keys, all have to hold; of several values of a key, one. */
const memory = {
  image: Type.Optional(
    OneOrMore(
      Name("the name of an image"),
      "Images by name, as `ebscope show FILE images` lists them; `*` and `?` stand for anything. `none`: memory of no image.",
    ),
  ),
  section: Type.Optional(
    OneOrMore(
      Name("the name of a section"),
      "Sections of images by name, such as `.text`; `*` and `?` stand for anything.",
    ),
  ),
  range: Type.Optional(OneOrMore(Name("a range such as 0x9000000+0x1000"), RANGE)),
  "memory-type": Type.Optional(
    OneOrMore(
      Name("an EFI_MEMORY_TYPE"),
      "EFI_MEMORY_TYPE of the memory that is mapped, as the memory map had it that ExitBootServices was called with. `none`: not in that map.",
    ),
  ),
};

const Except = Type.Optional(
  Type.Array(
    Type.Object(
      {
        ...memory,
        regime: Type.Optional(Type.Enum(REGIMES, { description: "Only in this translation regime." })),
        at: At,
        runtime: Type.Optional(
          Type.Literal(true, { description: "Only memory of runtime images (EfiRuntimeServicesCode)." }),
        ),
        reason: Type.Optional(Text("Why this is acceptable.")),
      },
      { ...closed, description: "Memory that the rule lets pass. All keys have to hold." },
    ),
    { maxItems: MOST, description: "What the rule lets pass." },
  ),
);

const between = {
  from: Type.Optional(Name("the id of a point", "The first point. Default: before.")),
  to: Type.Optional(Name("the id of a point", "The second point. Default: after.")),
};

const NoWriteExecute = Type.Object(
  { at: At, regime: Regimes, except: Except, ...common },
  { ...closed, description: "No memory is both writable and executable for one Exception level. At: before." },
);

const NullPageUnmapped = Type.Object(
  {
    at: At,
    size: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 2 ** 32, description: "Bytes from address 0 on. Default: 4096." }),
    ),
    ...common,
  },
  { ...closed, description: "Nothing is mapped at address 0: a NULL pointer faults. At: before and after." },
);

const RuntimeCodeReadOnly = Type.Object(
  { at: At, except: Except, ...common },
  { ...closed, description: "The code of runtime images is not writable. At: before." },
);

const NoControlRegisterChanges = Type.Object(
  {
    ...between,
    except: Type.Optional(
      Type.Array(
        Type.Object(
          {
            register: Name(
              "a register, or one field of it",
              "`TTBR0_EL1`, or one field: `SCTLR_EL1.C`. `*` and `?` stand for anything.",
            ),
            reason: Type.Optional(Text("Why this is acceptable.")),
          },
          closed,
        ),
        { maxItems: MOST, description: "What the rule lets pass." },
      ),
    ),
    ...common,
  },
  { ...closed, description: "SCTLR, TCR, TTBR, MAIR, VBAR and the like are the same at two points, on all vCPUs." },
);

const AllChangesExpected = Type.Object(
  { ...between, except: Except, ...common },
  {
    ...closed,
    description: "Every change of a mapping from one point to the other is a known effect of ExitBootServices.",
  },
);

const NoFindings = Type.Object(
  {
    minimum: Type.Optional(
      Type.Enum(["error", "warning", "info"], {
        description: "The least severity of a finding that breaks the rule. Default: warning.",
      }),
    ),
    findings: Type.Optional(
      OneOrMore(
        Name("the name of a finding"),
        "Only these findings (docs/findings.md); `*` and `?` stand for anything. Default: all.",
      ),
    ),
    except: Type.Optional(
      Type.Array(
        Type.Object(
          {
            finding: Name("the name of a finding", "docs/findings.md lists them; `*` and `?` stand for anything."),
            reason: Type.Optional(Text("Why this is acceptable.")),
          },
          closed,
        ),
        { maxItems: MOST, description: "What the rule lets pass." },
      ),
    ),
    ...common,
  },
  { ...closed, description: "ebscope has nothing to complain of." },
);

const ExitSucceeded = Type.Object(
  {
    attempts: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: "Calls until it succeeded, at most. Default: any number.",
      }),
    ),
    ...common,
  },
  { ...closed, description: "ExitBootServices returned EFI_SUCCESS." },
);

const NotFaulted = Type.Object(common, {
  ...closed,
  description: "No exception was taken after the call for as long as the guest was watched.",
});

const RegisterAssertion = Type.Object(
  {
    assert: Text(
      "A comparison that has to hold: `SCTLR_EL1.M == 1`, `TCR_ELx.T0SZ >= 16`, `SCTLR_EL1 & 0x1005 == 0x1005`. " +
        "`_ELx` is the Exception level whose translation regime executes.",
    ),
    at: At,
    cpu: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0, maximum: 4095 }), Type.Literal("all")], {
        description: "The vCPU, or `all`. Default: the one the point is about.",
      }),
    ),
    ...common,
  },
  closed,
);

export const Property = Type.Enum([
  "mapped",
  "readable",
  "writable",
  "executable",
  "el0-readable",
  "el0-writable",
  "el0-executable",
  "normal",
  "device",
]);
export type Property = Static<typeof Property>;

const MappingAssertion = Type.Object(
  {
    ...memory,
    must: Type.Optional(
      Type.Array(Property, { minItems: 1, maxItems: 9, description: "What each page of it has to be." }),
    ),
    "must-not": Type.Optional(
      Type.Array(Property, { minItems: 1, maxItems: 9, description: "What no page of it may be." }),
    ),
    memory: Type.Optional(
      OneOrMore(
        Name("a memory type"),
        "The memory type that each mapped page of it has to have, in the Arm ARM's words: `Normal WB*`, `Device-nGnRnE`.",
      ),
    ),
    at: At,
    regime: Regimes,
    except: Except,
    ...common,
  },
  closed,
);

const SameAs = Type.Object(
  {
    baseline: Type.Optional(
      Name(
        "the path of a capture",
        "The capture to compare with, in the folder of the policy or below. `--baseline FILE` takes its place.",
      ),
    ),
    ignore: Type.Optional(
      OneOrMore(
        Name("a part of the comparison"),
        "Parts of the comparison that do not count: machine, images, registers, mappings, efi, memory-map, changes, findings.",
      ),
    ),
    ...common,
  },
  { ...closed, description: "The capture shows no difference from one that was found good." },
);

export const RuleSet = Type.Object(
  {
    "exit-succeeded": Type.Optional(ExitSucceeded),
    "not-faulted": Type.Optional(NotFaulted),
    "no-findings": Type.Optional(NoFindings),
    "no-write-execute": Type.Optional(NoWriteExecute),
    "null-page-unmapped": Type.Optional(NullPageUnmapped),
    "runtime-code-read-only": Type.Optional(RuntimeCodeReadOnly),
    "no-control-register-changes": Type.Optional(NoControlRegisterChanges),
    "all-changes-expected": Type.Optional(AllChangesExpected),
    registers: Type.Optional(
      Type.Array(RegisterAssertion, {
        minItems: 1,
        maxItems: MOST,
        description: "What registers have to hold. At: before.",
      }),
    ),
    mappings: Type.Optional(
      Type.Array(MappingAssertion, {
        minItems: 1,
        maxItems: MOST,
        description: "What has to be mapped, how, and what not. At: before.",
      }),
    ),
    "same-as": Type.Optional(SameAs),
  },
  { ...closed, minProperties: 1, description: "The rules. docs/policies.md has a section on each." },
);

export const PolicyDocument = Type.Object(
  {
    $schema: Type.Optional(Type.String({ maxLength: 400, description: "For editors: where this schema is." })),
    ebscope: Type.Literal(1, { description: "The version of the format." }),
    name: Type.Optional(Text("What the policy is called in its results.")),
    unknown: Type.Optional(
      Type.Enum(["break", "allow"], {
        description:
          "What it means when a rule cannot be decided, as something could not be read: the policy is broken (default), or not.",
      }),
    ),
    rules: RuleSet,
  },
  { ...closed, title: "Policy of ebscope", description: "What a capture has to look like (docs/policies.md)." },
);

export type PolicyDocument = Static<typeof PolicyDocument>;
export type RuleSet = Static<typeof RuleSet>;
export type RuleName = keyof RuleSet;
export const RULE_NAMES = Object.keys(RuleSet.properties) as RuleName[];

/** docs/policy.schema.json. */
export function policySchema(): unknown {
  return { $schema: "http://json-schema.org/draft-07/schema#", ...JSON.parse(JSON.stringify(PolicyDocument)) };
}

/** Where something is that a rule complains of; null where a place has no such thing. */
const Where = Type.Object({
  point: Nullable(Type.String()),
  regime: Nullable(Type.String()),
  va: Nullable(Hex),
  size: Nullable(Hex),
  pa: Nullable(Hex),
  cpu: Nullable(Type.Integer()),
  register: Nullable(Type.String()),
  image: Nullable(Type.String()),
  section: Nullable(Type.String()),
  memoryType: Nullable(Type.String()),
  finding: Nullable(Type.String()),
});
const Complaint = Type.Object({ message: Type.String(), where: Where, evidence: Type.Array(Type.String()) });
export type ComplaintJson = Static<typeof Complaint>;

/** What `ebscope check --json` prints. */
export const VerdictJson = Type.Object({
  /** kept: no rule of severity `error` is broken, or unknown where that breaks the policy. */
  state: Type.Enum(["kept", "broken"]),
  policy: Type.Object({ file: Type.String(), name: Nullable(Type.String()) }),
  capture: Type.String(),
  counts: Type.Object({
    rules: Type.Integer(),
    kept: Type.Integer(),
    broken: Type.Integer(),
    unknown: Type.Integer(),
  }),
  rules: Type.Array(
    Type.Object({
      rule: Type.Enum(RULE_NAMES),
      /** The name, and for one of several in a list what it asserts. */
      title: Type.String(),
      state: Type.Enum(["kept", "broken", "unknown"]),
      severity: Type.Enum(["error", "warning"]),
      /** Whether it breaks the policy. */
      breaks: Type.Boolean(),
      reason: Nullable(Type.String()),
      /** Where it stands in the policy. */
      line: Type.Integer(),
      column: Type.Integer(),
      violations: Type.Array(Complaint),
      /** Violations that are not listed. */
      more: Type.Integer(),
      /** What could not be decided. */
      undecided: Type.Array(Complaint),
      /** Exceptions of the rule that matched nothing. */
      unused: Type.Array(Type.Object({ text: Type.String(), line: Type.Integer(), column: Type.Integer() })),
    }),
  ),
});
export type VerdictJson = Static<typeof VerdictJson>;
