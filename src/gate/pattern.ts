/** Names with `*` (any characters) and `?` (one character). Case counts. */

export interface Pattern {
  readonly text: string;
  matches(name: string): boolean;
}

/** A pattern of at most 120 characters. Takes time in proportion to both lengths: names come from the guest. */
export function pattern(text: string): Pattern {
  return { text, matches: (name) => matches(text, name) };
}

/** On a mismatch the last star takes one character more; stars before it need not be tried again. */
function matches(text: string, name: string): boolean {
  let [at, star, resume] = [0, -1, 0];
  for (let i = 0; i < name.length; ) {
    if (text[at] === "*") {
      star = at++;
      resume = i;
    } else if (at < text.length && (text[at] === "?" || text[at] === name[i])) {
      at++;
      i++;
    } else if (star >= 0) {
      at = star + 1;
      i = ++resume;
    } else return false;
  }
  while (text[at] === "*") at++;
  return at === text.length;
}

export function anyMatches(patterns: readonly Pattern[], name: string): boolean {
  return patterns.some((each) => each.matches(name));
}
