/** Durations as plans have them. */

const FORM = /^([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|min|h)$/;
const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

/** Milliseconds of `300s`, `1.5s`, `500ms`, `5min`, `1h`; undefined for what is no duration. */
export function durationMs(text: string): number | undefined {
  const [, count, unit = ""] = FORM.exec(text) ?? [];
  return count === undefined ? undefined : Math.round(Number(count) * (MILLISECONDS[unit] ?? 0));
}
