/**
 * Plans: what `ebscope run` captures, and where. The one source for their validation, their types and docs/plan.schema.json, whose
 * descriptions editors show. Names are promises to users.
 */
import { type Static, Type } from "typebox";
import { RegimeName } from "./parts.ts";

const closed = { additionalProperties: false } as const;

const MOST_POINTS = 64;
const MOST_COUNT = 1_000_000;

/** `title` is the noun that messages use. */
const Text = (title: string, description: string) => Type.String({ minLength: 1, maxLength: 4096, title, description });
const Flag = (description: string) => Type.Boolean({ description });
const Count = (description: string) => Type.Integer({ minimum: 1, maximum: MOST_COUNT, description });

/** `300s`, `1.5s`, `500ms`, `5min`, `1h`. */
const Duration = (description: string) =>
  Type.String({
    pattern: "^[0-9]{1,9}(\\.[0-9]{1,3})? ?(ms|s|min|h)$",
    title: "a duration, such as 300s, 500ms or 5min",
    description,
  });

const Path = (description: string) => Text("a path in the plan's folder", description);

/** An expression may be a number: YAML reads one for what it is. */
const Formula = (description: string) =>
  Type.Union([Type.String({ minLength: 1, maxLength: 4096 }), Type.Integer({ minimum: 0 })], {
    title: "an expression, such as x1 + 8",
    description,
  });

const IDENTIFIER = "^[A-Za-z][A-Za-z0-9_.-]{0,63}$";
const PointId = (description: string) =>
  Type.String({
    pattern: IDENTIFIER,
    title: "the id of a point (a letter, then letters, digits, _ - .)",
    description,
  });

/** One end of a difference. */
const PointOrHit = (description: string) =>
  Type.String({
    pattern: IDENTIFIER.replace(/\$$/, "(#[1-9][0-9]{0,6})?$"),
    title: "the id of a point, or of one of its hits, as in attributes#3",
    description: `${description} Its last record; attributes#3: its third hit.`,
  });

const Place = Type.Union([Type.String({ minLength: 1, maxLength: 4096 }), Type.Integer({ minimum: 0 })], {
  title: "a place, such as gBS->ExitBootServices or DxeCore+0x3160",
});

const At = Type.Union([Place, Type.Array(Place, { minItems: 1, maxItems: 32 })], {
  title: "a place, such as gBS->ExitBootServices or DxeCore+0x3160, or a list of such",
  description:
    "Where the point is. An address (0x47801000), a symbol (CoreExitBootServices, DxeCore!CoreExitBootServices), an offset in an image " +
    "(DxeCore+0x3160), a UEFI service (gBS->ExitBootServices, gRT->SetVirtualAddressMap), an exception vector (vector(sync, lower-64, EL2), " +
    "vector(fault, any)) or a write to memory (write(0x47800000, 8), write(x0 + 8, 4)). A list: any of them.",
});

const HitRange = Type.Object(
  {
    from: Type.Optional(Count("The first hit that counts. Default: 1.")),
    to: Type.Optional(Count("The last hit that counts. Default: there is none.")),
  },
  closed,
);
const Hit = Type.Union([Type.Integer({ minimum: 1, maximum: MOST_COUNT }), HitRange], {
  title: "a number from 1 on, or { from, to }",
  description:
    "Which hits are recorded: the n-th alone, or those from one to another. Hits at which `if` does not hold are not counted.",
});

const PointLimit = Type.Object(
  {
    count: Type.Optional(Count("How often the point is recorded at most. Default: as often as `hit` says, else 1.")),
    time: Type.Optional(Duration("How long the point stays armed. Default: until the plan ends.")),
  },
  { ...closed, description: "When the point is given up." },
);

const RegisterWord = Type.String({
  pattern: "^[A-Za-z][A-Za-z0-9_]{0,47}$",
  title: "a register (x0, SCTLR_EL1) or a class (control, exception, general, timer, debug, other)",
});
const RegisterChoice = Type.Union(
  [Type.Enum(["none", "all"]), Type.Array(RegisterWord, { minItems: 1, maxItems: 512 })],
  {
    title: "none, all or a list of registers and classes",
    description:
      "Which registers: none, all of every vCPU, or, of the vCPU that stopped, a list of names (x0, SCTLR_EL1) and classes (control, general, …).",
  },
);

const TableChoice = Type.Union([Type.Enum(["none", "live"]), Type.Array(RegimeName, { minItems: 1, maxItems: 5 })], {
  title: "none, live or a list of translation regimes (EL1&0, EL2, EL2&0, EL3, stage2)",
  description: "Which translation tables: none, those in use at the point (live), or those of a list of regimes.",
});

const MemoryRange = Type.Object(
  {
    at: Formula("The virtual address of its first byte: an expression over registers, memory and places."),
    length: Formula("In bytes: a number (48, 4KiB) or an expression. At most 16 MiB."),
  },
  closed,
);

const Recorded = Type.Object(
  {
    registers: Type.Optional(RegisterChoice),
    tables: Type.Optional(TableChoice),
    memory: Type.Optional(
      Type.Record(Type.String({ pattern: IDENTIFIER }), MemoryRange, {
        ...closed,
        propertyNames: { pattern: IDENTIFIER, title: "a name for a range (a letter, then letters, digits, _ - .)" },
        maxProperties: 32,
        description: "Ranges of memory by a name of your choice.",
      }),
    ),
    backtrace: Type.Optional(Flag("The call chain.")),
    arguments: Type.Optional(Flag("The arguments, by the UEFI prototype of the service where there is one.")),
  },
  {
    ...closed,
    description:
      "What is recorded: what is named here and nothing else. Without `record`: everything, the memory ranges aside.",
  },
);

export const PointDocument = Type.Object(
  {
    at: At,
    when: Type.Optional(
      Type.Enum(["entry", "return"], {
        description:
          "At the place itself (entry, the default), or where the call that enters a function there returns to.",
      }),
    ),
    if: Type.Optional(Formula("Recorded only where this is not 0, such as x0 == 0 or u32[x1 + 8] & 0x10 != 0.")),
    after: Type.Optional(
      PointId("Armed only once this other point has been recorded. Registers of a write(…) are taken there."),
    ),
    until: Type.Optional(PointId("Given up once this other point has been recorded.")),
    hit: Type.Optional(Hit),
    limit: Type.Optional(PointLimit),
    keep: Type.Optional(
      Type.Enum(["first", "last"], {
        description: "Of more hits than `limit.count`: the first are recorded (default), or the last are kept.",
      }),
    ),
    record: Type.Optional(Recorded),
    // biome-ignore lint/suspicious/noThenProperty: what people write, `then: stop`; a plan is never awaited.
    then: Type.Optional(
      Type.Enum(["continue", "stop"], {
        description: "What comes after the last record of the point: the guest runs on (default), or the plan is done.",
      }),
    ),
    note: Type.Optional(Text("text", "Shown with the point.")),
  },
  closed,
);

const Target = Type.Union(
  [
    Type.Object(
      { attach: Text("a stub's address, such as localhost:1234", "The gdbstub: host:port or unix:/path.") },
      closed,
    ),
    Type.Object(
      {
        launch: Type.Array(Type.String({ maxLength: 4096, title: "text (put it in quotes)" }), {
          minItems: 1,
          maxItems: 512,
          description: "QEMU and its options, one by one, as after `--` on the command line.",
        }),
        keep: Type.Optional(Flag("Leave the guest running at the end. Default: false.")),
      },
      closed,
    ),
  ],
  {
    description:
      "The guest: { attach: localhost:1234 } or { launch: [qemu-system-aarch64, …] }. May be given on the command line instead.",
  },
);

const Limits = Type.Object(
  {
    time: Type.Optional(Duration("How long the plan may take, from when the places were found. Default: 300s.")),
    find: Type.Optional(Duration("How long the firmware may take to show its system table. Default: 60s.")),
    watch: Type.Optional(Duration("How long the guest runs on when every point has its records. Default: 0s.")),
    tables: Type.Optional(Count("Table pages to read for one regime at most. Default: 16384.")),
  },
  { ...closed, description: "Limits of the plan as a whole." },
);

export const PlanDocument = Type.Object(
  {
    $schema: Type.Optional(Type.String({ maxLength: 4096, description: "For editors: where this schema is." })),
    ebscope: Type.Literal(1, { description: "The version of the format: 1." }),
    name: Type.Optional(Text("text", "What the plan is called. Default: the name of its file.")),
    note: Type.Optional(Text("text", "What it is for.")),
    target: Type.Optional(Target),
    memory: Type.Optional(
      Type.Enum(["auto", "rsp", "process", "file"], { description: "How guest memory is read. Default: auto." }),
    ),
    symbols: Type.Optional(
      Type.Array(Path("A file or folder to take symbols from, relative to the plan's folder and inside it."), {
        maxItems: 64,
        description: "Files and folders to take symbols from: .debug, .dll, xen-syms, vmlinux, System.map, .map.",
      }),
    ),
    out: Type.Optional(
      Path("The capture to write, relative to the plan's folder and inside it. The command line's --out is stronger."),
    ),
    points: Type.Record(Type.String({ pattern: IDENTIFIER }), PointDocument, {
      ...closed,
      propertyNames: { pattern: IDENTIFIER, title: "the id of a point (a letter, then letters, digits, _ - .)" },
      minProperties: 1,
      maxProperties: MOST_POINTS,
      description: "The points by their ids.",
    }),
    diffs: Type.Optional(
      Type.Array(
        Type.Object(
          { from: PointOrHit("The point with the state before."), to: PointOrHit("The point with the state after.") },
          closed,
        ),
        { maxItems: 64, description: "The differences to show at the end." },
      ),
    ),
    limits: Type.Optional(Limits),
  },
  { ...closed, title: "Plan of ebscope", description: "What to capture of a guest, and where (docs/plans.md)." },
);

export type PlanDocument = Static<typeof PlanDocument>;
export type PointDocument = Static<typeof PointDocument>;

/** docs/plan.schema.json. */
export function planSchema(): unknown {
  return { $schema: "http://json-schema.org/draft-07/schema#", ...JSON.parse(JSON.stringify(PlanDocument)) };
}
