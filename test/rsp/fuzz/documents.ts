/** The parsers of documents: target descriptions, memory maps, thread lists, and what QEMU's monitor prints. */
import fc from "fast-check";
import { EbscopeError } from "../../../src/base/error.ts";
import * as commands from "../../../src/rsp/commands/index.ts";
import { parseMemoryTree } from "../../../src/target/memory-map.ts";
import { readTargetDescription } from "../../../src/target/target-xml.ts";
import { MONITOR, TARGET_XML } from "../../support/stub-machine.ts";
import { type Count, type Fuzz, fuzz, fuzzAsync } from "./fuzz.ts";
import { changed } from "./streams.ts";

const NAMES = ["target.xml", "a.xml", "b.xml"];

const attribute = fc.oneof(
  fc.constantFrom(..."x0 cpsr VBAR 64 32 0 -1 1.5 65535 65536 1e3 ../x".split(" "), ...NAMES, ""),
  fc.string({ maxLength: 6 }),
);
const attributes = fc
  .array(fc.tuple(fc.constantFrom("name", "bitsize", "regnum", "href", "type", "id"), attribute), { maxLength: 4 })
  .map((pairs) => [...new Map(pairs)].map(([name, value]) => ` ${name}="${value}"`).join(""));
const tag = fc.constantFrom("target", "architecture", "feature", "reg", "xi:include", "memory", "thread", "property");

/** Elements in and beside one another. */
const elements: fc.Arbitrary<string> = fc.letrec((tie) => ({
  inside: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("aarch64", "", " ", "&lt;", "&e;", "<!-- c -->", "<![CDATA[x]]>"),
    fc
      .tuple(tag, attributes, fc.array(tie("inside") as fc.Arbitrary<string>, { maxLength: 4 }))
      .map(([name, given, inside]) => `<${name}${given}>${inside.join("")}</${name}>`),
    attributes.map((given) => `<reg name="r" bitsize="64"${given.replace(/ (name|bitsize)="[^"]*"/g, "")}/>`),
  ),
})).inside as fc.Arbitrary<string>;

const REAL = Object.values(TARGET_XML);
const MEMORY_MAP =
  '<memory-map><memory type="ram" start="0x40000000" length="0x1000"/>' +
  '<memory type="flash" start="0" length="0x4000"><property name="blocksize">0x400</property></memory></memory-map>';
const THREADS = '<threads><thread id="p1.2" core="3" name="init">running</thread><thread id="5"/></threads>';

const documents = fc.oneof(
  { weight: 2, arbitrary: changed(fc.constantFrom(...REAL, MEMORY_MAP, THREADS)) },
  { weight: 3, arbitrary: elements.map((inside) => `<target><architecture>aarch64</architecture>${inside}</target>`) },
  { weight: 1, arbitrary: changed(elements) },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(...REAL, MEMORY_MAP, THREADS) },
);

/** Any documents under the names that are asked for: a description with sound registers, or a refusal. */
async function describes(texts: readonly string[], count: Count): Promise<void> {
  let fetched = 0;
  const fetch = async (annex: string): Promise<string> => {
    fetched++;
    const at = NAMES.indexOf(annex);
    return texts[(at < 0 ? fetched : at) % texts.length] as string;
  };
  const outcome = await readTargetDescription(fetch).catch(refusal);
  if (fetched > 64) throw new Error(`${fetched} documents were fetched`);
  count(outcome === undefined ? "refused" : outcome.registers.length > 0 ? "registers" : "none");
  const numbers = outcome?.registers.map(({ number }) => number) ?? [];
  if (numbers.some((number, i) => i > 0 && number <= (numbers[i - 1] as number))) throw new Error("not ascending");
  for (const { stubName, bits, number } of outcome?.registers ?? []) {
    const sound = /^[\w.$-]{1,64}$/.test(stubName) && bits > 0 && bits <= 1 << 20 && number >= 0 && number <= 0xffff;
    if (!sound) throw new Error(`the register ${stubName}, ${number}, ${bits} bits`);
  }
}

/** The refusals that there may be are passed over; anything else is thrown on. */
function refusal(error: unknown): undefined {
  if (!(error instanceof EbscopeError) || error.code !== "protocol-error") throw error;
}

function otherDocuments(text: string, count: Count): void {
  count(accepted(() => checkMap(commands.parseMemoryMap(text))) ? "memory map" : "no memory map");
  count(accepted(() => commands.parseThreadList(text)) ? "thread list" : "no thread list");
}

function accepted(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    refusal(error);
    return false;
  }
}

function checkMap(regions: readonly commands.MemoryMapRegion[]): void {
  let end = 0n;
  for (const { start, size } of regions) {
    if (start < end || size <= 0n || start + size > 1n << 64n) throw new Error(`a region at ${start}`);
    end = start + size;
  }
}

const PRINTED = (MONITOR["info mtree -f"] ?? []).join("");
const address = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const digits = (value: bigint): string => value.toString(16).padStart(16, "0");

interface Line {
  readonly text: string;
  /** What it says, if it is RAM or ROM. */
  readonly range: { readonly start: bigint; readonly size: bigint; readonly kind: "ram" | "rom" } | undefined;
}

const line: fc.Arbitrary<Line> = fc
  .tuple(address, address, fc.constantFrom("ram", "rom", "romd", "i/o", "ramd", "container"), fc.nat(9))
  .map(([start, end, kind, prio]) => ({
    text: `  ${digits(start)}-${digits(end)} (prio ${prio}, ${kind}): region`,
    range:
      end >= start && ["ram", "rom", "romd"].includes(kind)
        ? { start, size: end - start + 1n, kind: kind === "ram" ? ("ram" as const) : ("rom" as const) }
        : undefined,
  }));

/** A view that is made up: its ranges are what its lines say, ascending. */
function readsView(lines: readonly Line[], count: Count): void {
  const text = ["FlatView #3", ' AS "cpu-memory-0", root: system', ...lines.map((each) => each.text)].join("\r\n");
  const due = lines.flatMap(({ range }) => (range === undefined ? [] : [`${range.start} ${range.size} ${range.kind}`]));
  const found = parseMemoryTree(text);
  checkRanges(found);
  const told = found.map(({ start, size, kind }) => `${start} ${size} ${kind}`);
  if (told.sort().join() !== due.sort().join()) throw new Error(`read ${told}, due is ${due}`);
  count(told.length > 0 ? "ranges" : "none");
}

function anyPrint(text: string, count: Count): void {
  const found = parseMemoryTree(text);
  checkRanges(found);
  count(found.length > 0 ? "ranges" : "none");
}

function checkRanges(ranges: readonly { start: bigint; size: bigint; name: string }[]): void {
  ranges.forEach(({ start, size, name }, i) => {
    if (i > 0 && start < (ranges[i - 1]?.start ?? 0n)) throw new Error("not ascending");
    if (size <= 0n || start + size > 1n << 64n || name.length > 80) throw new Error(`a range at ${start}`);
  });
}

/** What is before many times the same characters, these, and what is behind them: time in the square of the length stands out. */
const LONG = 60_000;
const long = fc.tuple(
  fc.constantFrom(
    "",
    "<a>",
    "<target ",
    "FlatView #0\n",
    'FlatView #0\n AS "cpu-memory-0"\n',
    "T05",
    "m",
    "p",
    "vCont",
  ),
  fc.constantFrom(...' ;,:0a<&"-.\n\r\t', "\r\n", "<a>", "thread:1;", "x="),
  fc.constantFrom("", "x", "</a>", "#", "\n", "1"),
);

async function longTexts([head, again, tail]: readonly [string, string, string], count: Count): Promise<void> {
  const text = head + again.repeat(LONG / again.length) + tail;
  const bytes = Buffer.from(text, "latin1");
  parseMemoryTree(text);
  await readTargetDescription(async () => text).catch(refusal);
  otherDocuments(text, () => undefined);
  const { haltReason, askSupported, firstThreads, vContActions, qemuSupported, monitorCommand } = commands;
  for (const build of [haltReason, askSupported, firstThreads, vContActions, qemuSupported]) {
    count(build().decode(bytes).kind);
  }
  const monitor = monitorCommand("x");
  monitor.onOutput?.(bytes.toString("hex"));
  count(monitor.decode(Buffer.from("OK")).kind);
}

export const DOCUMENTS: readonly Fuzz[] = [
  fuzzAsync("target descriptions", 80, fc.array(documents, { minLength: 1, maxLength: 3 }), describes),
  fuzz("memory maps and thread lists", 40, documents, otherDocuments),
  fuzz("memory trees", 40, fc.array(line, { maxLength: 6 }), readsView),
  fuzz("memory trees that were changed", 30, changed(fc.constant(PRINTED)), anyPrint),
  fuzzAsync("long runs of one character", 1, long, longTexts),
];
