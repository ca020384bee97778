/** What the command line's help tells, apart from the verbs' code. */

/** The capture that `capture` writes when it is not told. */
export const DEFAULT_OUT = "handoff.ebs";

/** What `show` shows. */
export const SHOWN = [
  "points",
  "registers",
  "mappings",
  "tables",
  "images",
  "memmap",
  "efi",
  "fault",
  "backtrace",
  "findings",
] as const;
export type Shown = (typeof SHOWN)[number];
