/** What the tests of the store share with the programs that they start: events, and reading a whole log. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { EbscopeError } from "../../../src/base/error.ts";
import type { LoggedEvent, NewEvent } from "../../../src/bridge/ports.ts";
import type { DurableEventLog } from "../../../src/bridge/store/index.ts";
import { slowCrc32 } from "../../support/crc32.ts";

export function progress(text: string): NewEvent {
  return { kind: "capture.progress", target: "t1", capture: "c1", data: { text } };
}

/** Appends events with these texts, all at once. */
export async function appendAll(log: DurableEventLog, texts: readonly string[]): Promise<LoggedEvent[]> {
  return Promise.all(texts.map((text) => log.append(progress(text))));
}

export function numbers(count: number, from = 1): string[] {
  return Array.from({ length: count }, (_, i) => `event ${from + i}`);
}

/** All events that can be read, in pieces, and the sequence numbers that the log says are damaged. */
export async function readWhole(log: DurableEventLog): Promise<{ events: LoggedEvent[]; lost: number[] }> {
  const events: LoggedEvent[] = [];
  const lost: number[] = [];
  for (let at = log.oldest; at <= log.head; ) {
    try {
      const piece = await log.read(at, log.head);
      if (piece.length === 0) throw new Error(`nothing at ${at}`);
      events.push(...piece);
      at += piece.length;
    } catch (error) {
      if (!(error instanceof EbscopeError) || error.code !== "store-corrupt") throw error;
      const next = await log.nextReadable(at);
      if (next <= at) throw new Error(`no way on from ${at}`);
      for (; at < next; at++) lost.push(at);
    }
  }
  return { events, lost };
}

export async function logFiles(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith(".log")).sort();
}

export async function readText(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), "utf8");
}

/** A line of the log, by the description of the format alone. */
export function lineOf(json: string): string {
  return `${slowCrc32(Buffer.from(json)).toString(16).padStart(8, "0")} ${json}\n`;
}

export function jsonOf(events: readonly LoggedEvent[]): string[] {
  return events.map(({ json }) => json);
}
