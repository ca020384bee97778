/**
 * A report before it is HTML or Markdown: sections of blocks.
 *
 * Two kinds of text. Words are ebscope's own, constants and numbers. Data is everything that may hold something of the guest, the stub or a
 * file, whole sentences of findings included: the writers make it inert, each in its way. Where words stand beside data they are
 * separate spans.
 */

/** A string is words. */
export type Span = string | { readonly data: string };
export type Spans = readonly Span[];

export type Tone = "error" | "warning" | "info" | "good";

export interface Column {
  readonly name: string;
  /** Sentences, which may break; else the cell stays on one line. */
  readonly prose?: boolean;
}

export interface TableBlock {
  readonly kind: "table";
  /** Words. */
  readonly caption?: string;
  readonly columns: readonly Column[];
  /** Data. */
  readonly rows: readonly (readonly string[])[];
  /** The index of a row that stands out. */
  readonly marked?: number;
  /** Lines of code: close together. */
  readonly code?: boolean;
}

export type Block =
  | { readonly kind: "text"; readonly spans: Spans; readonly tone?: Tone }
  | { readonly kind: "heading"; readonly spans: Spans }
  /** Labels are words. */
  | { readonly kind: "facts"; readonly rows: readonly (readonly [label: string, spans: Spans])[] }
  | TableBlock
  /** Lines as they are; data. */
  | { readonly kind: "lines"; readonly lines: readonly string[] }
  | {
      readonly kind: "finding";
      readonly tone: Tone;
      /** The name of the rule; words. */
      readonly rule: string;
      /** Data, both. */
      readonly title: string;
      readonly evidence: readonly string[];
    }
  /** What not everybody wants to see: folded in HTML, left out of Markdown. */
  | { readonly kind: "more"; readonly summary: string; readonly blocks: readonly Block[] };

export interface Section {
  /** Lower-case letters: the anchor. */
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
  /** Too long for a bug report. */
  readonly htmlOnly?: boolean;
}

export interface Report {
  readonly tone: Tone;
  /** The verdict; data. */
  readonly title: string;
  /** Under the verdict: what was captured. */
  readonly summary: Spans;
  readonly sections: readonly Section[];
}

export function data(text: string): Span {
  return { data: text };
}

export function text(...spans: Spans): Block {
  return { kind: "text", spans };
}

export function columns(...names: readonly string[]): readonly Column[] {
  return names.map((name) => ({ name }));
}

/** Lines of evidence that stand in the open. */
export const MAX_EVIDENCE = 10;

/** Rows that a table has before the rest is told by its number. */
export const MAX_ROWS = 2000;

/** A table; nothing where there is no row. Rows beyond the first MAX_ROWS are counted. */
export function table(
  names: readonly Column[],
  rows: readonly (readonly string[])[],
  options: Pick<TableBlock, "caption" | "marked" | "code"> = {},
): readonly Block[] {
  if (rows.length === 0) return [];
  const block: TableBlock = { kind: "table", columns: names, rows: rows.slice(0, MAX_ROWS), ...options };
  const more = rows.length - MAX_ROWS;
  return more > 0 ? [block, text(`… and ${more.toLocaleString("en-US")} more.`)] : [block];
}

/** Folded; nothing where there is nothing in it. */
export function more(summary: string, blocks: readonly Block[]): readonly Block[] {
  return blocks.length === 0 ? [] : [{ kind: "more", summary, blocks }];
}
