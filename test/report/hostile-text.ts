/** Strings that mean something to whatever shows them: terminals, browsers, Markdown, CI services. Seeded. */
import { Random } from "../support/random.ts";

/** A word that each string holds, so that it can be looked for. */
const MARK = "evil";

const ESC = "\x1b";
const TERMINAL = [
  `${ESC}[31m${MARK}${ESC}[0m`,
  `${ESC}]0;${MARK}\x07`,
  `${ESC}]8;;http://example.com/${ESC}\\${MARK}${ESC}]8;;${ESC}\\`,
  `${ESC}]52;c;ZXZpbA==\x07${MARK}`,
  `\x9b2J${MARK}\x9d0;t\x9c`,
  `\x90q${MARK}\x9c`,
  `${MARK}\r\x1b[2K\x1b[1A`,
  `a\b\b\b${MARK}`,
  `${MARK}\x7f\x00\x01\x02`,
  `line\n${MARK}\r\nline\v\f`,
  `${ESC}c${ESC}[?1049h${MARK}`,
  `${ESC}P+q${MARK}${ESC}\\`,
];
const UNICODE = [
  `\u202e${MARK}\u202c`,
  `\u2066${MARK}\u2069`,
  `\u200e\u200f\u061c${MARK}`,
  `\ufeff${MARK}\u200b\u200c\u200d\u2060`,
  `\u2028${MARK}\u2029`,
  `\ud83d${MARK}\udc00`,
  `${MARK}\ue000\u{f0000}`,
  `\u{e0041}\u{e0001}${MARK}`,
  `\u00ad${MARK}\u034f\ufe0f\u115f\u3164`,
  `\uffff${MARK}\ufffe`,
  `\u0085${MARK}\u00a0`,
];
const HTML = [
  `<script>alert('${MARK}')</script>`,
  `</code></td></table><script src=//example.com/${MARK}></script>`,
  `"><img src=x onerror=alert(1)>${MARK}`,
  `' onmouseover='alert(1) ${MARK}`,
  `<svg/onload=alert(1)>${MARK}</svg>`,
  `</style><style>*{background:url(//example.com/${MARK})}</style>`,
  `</title><h1>${MARK}</h1>`,
  `<!-- ${MARK} --><!--><![CDATA[${MARK}]]>`,
  `&lt;${MARK}&gt;&#60;b&#x3e;&amp`,
  `<a href="javascript:alert(1)">${MARK}</a>`,
  `<iframe srcdoc="<p>${MARK}"></iframe>`,
  `<meta http-equiv="refresh" content="0;url=//example.com/${MARK}">`,
  `<base href="//example.com/${MARK}/">`,
  `<form action=//example.com><button>${MARK}`,
  `<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>${MARK}`,
  `<details open ontoggle=alert(1)>${MARK}</details></main>`,
  `\`onload=alert(1) ${MARK}\``,
  `{{${MARK}}}\${${MARK}}`,
  `<p style="position:fixed">${MARK}`,
];
const MARKDOWN = [
  `[${MARK}](http://example.com)`,
  `![${MARK}](http://example.com/x.png)`,
  `\`${MARK}\``,
  `\`\`\`${MARK}\n# out`,
  `\`\`\`\`\`\`${MARK}\`\`\`\`\`\``,
  `~~~ ${MARK} ~~~`,
  `| ${MARK} | b |\\|`,
  `# ${MARK}`,
  `<!-- ${MARK}`,
  `<details><summary>${MARK}</summary>`,
  `@${MARK} #1 GH-1 example/repo#1`,
  `http://example.com/${MARK} www.example.com ${MARK}@example.com`,
  `**${MARK}** __b__ ~~c~~`,
  `- [ ] ${MARK}`,
  `> ${MARK}`,
  `${MARK}\\`,
  `\\\`${MARK}\\\`\\`,
  `\` ${MARK} \`\` x \``,
  `    ${MARK}`,
  `[^1]: ${MARK} $$x$$`,
  `---\n${MARK}\n===`,
];
const CI = [
  `::error::${MARK}`,
  ` \t ::set-output name=a::${MARK}`,
  `\u00a0::add-mask::${MARK}`,
  `::stop-commands::${MARK}`,
  `##[error]${MARK}`,
  `x ##[set-env name=PATH]${MARK}`,
  `##vso[task.setvariable variable=x]${MARK}`,
  `${MARK} ##VSO[task.complete result=Failed;]`,
  `##teamcity[buildProblem description='${MARK}']`,
  `#${MARK}##`,
  `##\u00ad[error]${MARK}`,
  `##\u0000[error]${MARK}`,
  `:\u200b:error::${MARK}`,
  `section_start:0:x\r${ESC}[0K${MARK}`,
  `::${MARK}`,
];
const FAMILIES: readonly (readonly string[])[] = [TERMINAL, UNICODE, HTML, MARKDOWN, CI];

const ODD = [..."<>&\"'`|*_[](){}#:~!\\/$%@^=+-.,; \t\n\r\0\x07\x1b\x7f\x80\x9b\u202e\u2028\ud800é漢🎉"];

function soup(random: Random): string {
  const length = random.between(1, 60);
  return `${Array.from({ length }, () => random.pick(ODD)).join("")}${MARK}`;
}

function long(random: Random): string {
  const unit = random.pick(FAMILIES.flat());
  return unit.repeat(Math.ceil(random.between(1000, 4000) / unit.length)).slice(0, 4000);
}

/** Each string of the families once, then mixtures of them, odd characters, and long ones. */
export function hostileStrings(count: number, seed: number): string[] {
  const random = new Random(seed);
  const fixed = FAMILIES.flat();
  const made = (): string => {
    const kind = random.below(10);
    if (kind === 0) return long(random);
    if (kind < 4) return soup(random);
    const [a, b] = [random.pick(random.pick(FAMILIES)), random.pick(random.pick(FAMILIES))];
    return kind < 7 ? a + b : `${a.slice(0, random.between(1, a.length))}${b}`;
  };
  return [...fixed, ...Array.from({ length: Math.max(0, count - fixed.length) }, made)].slice(0, count);
}
