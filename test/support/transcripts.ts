/** Recorded sessions: what is printed of their captures, and what Wireshark makes of them. */
import { ebscopeJson, start } from "./live.ts";

export interface Point {
  readonly id: string;
  readonly complete: boolean;
}

/** Everything that is printed of a capture as JSON. */
export async function everything(file: string): Promise<unknown> {
  const points = await ebscopeJson<Point[]>("show", file, "points");
  const shown = await Promise.all(
    points.flatMap(({ id }) =>
      ["registers", "mappings", "tables"].map((what) => ebscopeJson<unknown>("show", file, what, "--at", id)),
    ),
  );
  const diff = points.length > 1 ? await ebscopeJson<unknown>("diff", file) : undefined;
  return { points: points.map(({ id, complete }) => ({ id, complete })), shown, diff };
}

/** The packets of a direction, as they stand between `$` and `#`, latin1. */
export function packetsOf(bytes: string): string[] {
  return [...bytes.matchAll(/\$([^#]*)#../gs)].map(([, payload = ""]) => payload);
}

export async function tshark(file: string, port: number, ...args: readonly string[]): Promise<string> {
  const run = start("tshark", ["-r", file, "-d", `tcp.port==${port},gdb`, ...args]).finished.catch(() => undefined);
  const finished = await run;
  if (finished === undefined)
    throw new Error("This live test cannot run: tshark missing. Run: bash scripts/setup live");
  if (finished.code !== 0) throw new Error(`tshark ended with ${finished.code}:\n${finished.stderr}`);
  return finished.stdout;
}
