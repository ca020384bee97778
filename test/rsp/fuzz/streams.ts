/** Bytes as a stub may send them: right, damaged, and any. All text is latin1, one character a byte. */
import fc from "fast-check";

const SPECIAL = "#$}*";

const anyText = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));

/** Bytes that mean something to the protocol, to get deep into it. */
const meaningful = fc
  .array(fc.constantFrom(...'$$##%+-*}0a9f \x03~!"T'), { maxLength: 60 })
  .map((chars) => chars.join(""));

/** Answers of real stubs, and others of their form. */
export const KNOWN_REPLIES: readonly string[] = [
  "",
  "OK",
  "E22",
  "E.no such thread",
  "S05",
  "T05thread:01;",
  "T02thread:p1.2;core:0;",
  "T05watch:40001000;thread:02;",
  "T0506:0*,;07:10fcffff7f0* ;swbreak:;",
  "W00",
  "W0;process:2a",
  "X0b",
  "w0;p1.5",
  "N",
  "O48690a",
  "PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+",
  "m01,02",
  "mp1.-1",
  "l",
  'l<?xml version="1.0"?><target/>',
  "m<target>",
  "QC1",
  "QCp01.01",
  "vCont;c;C;s;S;t;r",
  "00000000000000ff",
  "xxxxxxxxxxxxxxxx",
  "4350552330205b72756e6e696e675d",
  "sstepbits;sstep;PhyMemMode",
  "ENABLE=1,NOIRQ=2,NOTIMER=4",
  "0x7",
  "1",
  "b\x00\xff",
];

/** A reply as some stub gives it, one that is changed in places, or bytes of any kind. */
export const replies: fc.Arbitrary<string> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...KNOWN_REPLIES) },
  { weight: 4, arbitrary: changed(fc.constantFrom(...KNOWN_REPLIES)) },
  { weight: 1, arbitrary: anyText(80) },
  { weight: 1, arbitrary: fc.stringMatching(/^[0-9a-f]{0,64}$/) },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom(..."STWXwNOEQml;:,=+-0fp.x"), { maxLength: 30 }).map((c) => c.join("")),
  },
);

/** Some characters of a text put in, taken out, changed or doubled. */
export function changed(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(), fc.constantFrom("put", "take", "change", "double"), fc.integer({ min: 0, max: 255 }));
  return fc
    .tuple(texts, fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) => edits.reduce(apply, text));
}

function apply(text: string, [where, how, code]: readonly [number, string, number]): string {
  const at = text === "" ? 0 : where % text.length;
  const char = String.fromCharCode(code);
  switch (how) {
    case "put":
      return text.slice(0, at) + char + text.slice(at);
    case "take":
      return text.slice(0, at) + text.slice(at + 1);
    case "change":
      return text.slice(0, at) + char + text.slice(at + 1);
    default:
      return text.slice(0, at) + text.slice(at).repeat(2);
  }
}

/** A frame, with more escapes than are needed or runs where there are some, as the number says. */
export function framed(payload: string, start: "$" | "%" = "$", style = 0): string {
  const whole = [...payload].map((char) => (SPECIAL.includes(char) || style === 1 ? escaped(char) : char)).join("");
  const body = style === 2 && !/[#$}*]/.test(payload) ? runs(payload) : whole;
  const sum = [...body].reduce((total, char) => total + char.charCodeAt(0), 0) % 256;
  return `${start}${body}#${sum.toString(16).padStart(2, "0")}`;
}

/** No byte may become one that is special itself: these are left as they are. */
function escaped(char: string): string {
  const other = String.fromCharCode(char.charCodeAt(0) ^ 0x20);
  return SPECIAL.includes(char) || !"#$".includes(other) ? `}${other}` : char;
}

/** Runs of 4 to 98 as the manual writes them, but for those whose count would be a `#` or `$`. */
function runs(payload: string): string {
  return payload.replace(/(.)\1{3,97}/gs, (run: string, char: string) => {
    const count = run.length - 1;
    return count === 6 || count === 7 ? run : `${char}*${String.fromCharCode(count + 29)}`;
  });
}

const frames = fc
  .tuple(replies, fc.constantFrom<"$" | "%">("$", "$", "$", "%"), fc.nat(2))
  .map(([payload, start, style]) => framed(payload, start, style));

/** What one packet after another may look like on a good line and on a bad one. */
export const streams: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: frames },
      { weight: 3, arbitrary: changed(frames) },
      { weight: 2, arbitrary: fc.constantFrom("+", "-", "+", "+$", "#00") },
      { weight: 1, arbitrary: meaningful },
      { weight: 1, arbitrary: anyText(40) },
    ),
    { maxLength: 8 },
  )
  .map((pieces) => pieces.join(""));

const places = fc.array(fc.nat(400), { maxLength: 8 });

/** A text, and the pieces in which it arrives. */
export const cutStreams: fc.Arbitrary<readonly [whole: string, pieces: readonly string[]]> = fc
  .tuple(streams, places)
  .map(([text, cuts]) => {
    const whole = `${text}#00+`;
    const edges = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
    return [whole, edges.slice(1).map((edge, i) => whole.slice(edges[i], edge))] as const;
  });
