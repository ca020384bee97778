/** Where output goes: data to stdout, all else to stderr. */
import type { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";

export function printData(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/** A line of progress. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printError(error: EbscopeError): void {
  process.stderr.write(`ebscope: ${printable(error.message, 1000)}\n`);
  process.stderr.write(`  → ${printable(error.next, 1000)} [${error.code}]\n`);
  if (error.code === "internal" && error.cause instanceof Error && process.env.EBSCOPE_DEBUG !== undefined) {
    process.stderr.write(`${error.cause.stack ?? ""}\n`);
  }
}

/** A reader that went away (`ebscope show … | head`) is no failure. */
export function ignoreClosedPipes(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  // Progress that nobody reads is no reason to end: a guest may be in our hands.
  process.stderr.on("error", () => undefined);
}
