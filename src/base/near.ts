/** The names that somebody may have meant. */

/** Letters to change, at most, for a name to be near. */
const MAX_DISTANCE = 4;
const MAX_NAMES = 3;
/** Longer than any name by more than the distance. */
const MAX_LENGTH = 48;

/** The nearest of `names`, the nearest first; none for a text that is further than `limit` letters from all of them. */
export function nearNames(text: string, names: readonly string[], limit = MAX_DISTANCE): string[] {
  if (text.length > MAX_LENGTH) return [];
  const wanted = text.toLowerCase();
  return names
    .map((name) => ({ name, distance: distance(wanted, name.toLowerCase()) }))
    .filter((each) => each.distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, MAX_NAMES)
    .map(({ name }) => name);
}

/** Letters to insert, remove or replace between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
