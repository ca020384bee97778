/** Reports of a capture, for people who do not have it. */
export { buildReport, type ReportOptions } from "./build.ts";
export type { Report, Tone } from "./document.ts";
export { renderHtml } from "./html.ts";
export { renderMarkdown } from "./markdown.ts";
