/** The one style sheet of a report: for wide and narrow screens, light and dark, and paper. Its text is what the policy has the hash of. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b2027; --quiet: #56606d; --line: #d9dfe6; --panel: #f4f6f9; --link: #1f5fae; --mark: #fff1c9;
  --error: #b3261e; --error-panel: #fdf0ee; --warning: #8a5300; --warning-panel: #fdf5e4;
  --info: #2f5d8f; --info-panel: #eef4fa; --good: #1d7440; --good-panel: #edf7f0;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e3e7ec; --quiet: #9aa5b1; --line: #323a44; --panel: #1c2229; --link: #84b5ee; --mark: #4a3d10;
    --error: #ff8a80; --error-panel: #2e1a1a; --warning: #f0b357; --warning-panel: #2b2313;
    --info: #8dbbea; --info-panel: #18242f; --good: #7fd0a0; --good-panel: #16271d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 var(--sans); }
main { max-width: 74rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
code, pre, td { font-family: var(--mono); font-size: 0.86em; }
code { overflow-wrap: anywhere; }
p { margin: 0.5rem 0; }
p.error, p.warning, p.info, p.good { font-weight: 600; }
.error { --tone: var(--error); --tone-panel: var(--error-panel); }
.warning { --tone: var(--warning); --tone-panel: var(--warning-panel); }
.info { --tone: var(--info); --tone-panel: var(--info-panel); }
.good { --tone: var(--good); --tone-panel: var(--good-panel); }
p.error, p.warning, p.info, p.good { color: var(--tone); }
header, article { background: var(--tone-panel); border-left: 4px solid var(--tone); border-radius: 4px; padding: 1rem 1.25rem; }
header { padding: 1.25rem 1.5rem; }
.tone { margin: 0; color: var(--tone); font-size: 0.8rem; font-weight: 700; letter-spacing: 0.05em; text-transform: uppercase; }
.rule { margin-left: 0.5rem; color: var(--quiet); font: 0.95em var(--mono); letter-spacing: 0; text-transform: none; }
h1 { margin: 0.25rem 0 0.6rem; font-size: 1.45rem; line-height: 1.3; overflow-wrap: anywhere; }
h2 { margin: 2.4rem 0 0.6rem; padding-bottom: 0.3rem; border-bottom: 1px solid var(--line); font-size: 1.2rem; }
h3 { margin: 1.4rem 0 0.4rem; font-size: 1rem; overflow-wrap: anywhere; }
h2 a { color: inherit; text-decoration: none; }
h2 a:hover::after { content: " #"; color: var(--quiet); }
.summary { margin: 0; color: var(--quiet); }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin: 1rem 0 0; }
a { color: var(--link); }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
article { margin: 0.8rem 0; padding: 0.8rem 1.1rem; }
article h3 { margin: 0.2rem 0 0.3rem; }
ul { margin: 0.3rem 0 0; padding-left: 1.2rem; }
li { margin: 0.15rem 0; }
dl { margin: 0.6rem 0; }
dl div { display: grid; grid-template-columns: 12rem 1fr; gap: 1rem; padding: 0.3rem 0; border-bottom: 1px solid var(--line); }
dl div:last-child { border-bottom: 0; }
dt { color: var(--quiet); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll, pre { overflow-x: auto; margin: 0.6rem 0; border: 1px solid var(--line); border-radius: 4px; }
pre { padding: 0.7rem 0.9rem; background: var(--panel); line-height: 1.45; }
pre code { overflow-wrap: normal; font-size: inherit; }
table { width: 100%; border-collapse: collapse; }
caption { padding: 0.45rem 0.7rem; color: var(--quiet); text-align: left; }
th, td { padding: 0.28rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
th { background: var(--panel); color: var(--quiet); font-size: 0.8rem; font-weight: 600; }
td.prose { min-width: 16rem; font-family: var(--sans); font-size: 0.93em; white-space: normal; overflow-wrap: anywhere; }
table.code { margin: 0.35rem 0; }
table.code td { padding-block: 0.06rem; border: 0; }
table.code td:last-child { width: 100%; }
tr.marked td { background: var(--mark); }
details { margin: 0.7rem 0; }
summary { color: var(--link); cursor: pointer; }
@media (max-width: 40rem) {
  main { padding: 0.75rem 0.75rem 3rem; }
  header { padding: 0.9rem 1rem; }
  h1 { font-size: 1.2rem; }
  dl div { grid-template-columns: 1fr; gap: 0; }
  th, td { padding: 0.28rem 0.5rem; }
  td.prose { min-width: 12rem; }
}
@media print {
  :root {
    --paper: #ffffff; --ink: #000000; --quiet: #444444; --line: #bbbbbb; --panel: #f4f4f4; --link: #000000; --mark: #eeeeee;
    --error: #8c1d18; --error-panel: #ffffff; --warning: #6b4100; --warning-panel: #ffffff;
    --info: #244a73; --info-panel: #ffffff; --good: #14532d; --good-panel: #ffffff;
  }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  header, article { border: 1px solid var(--line); border-left: 4px solid var(--tone); }
  .scroll, pre { overflow: visible; }
  th, td { white-space: normal; overflow-wrap: anywhere; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  h2, h3 { break-after: avoid; }
  article, tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
`;
