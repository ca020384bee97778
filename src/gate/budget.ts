/** What rules may cost: tables, images and memory maps are the guest's word, and all of them together multiply. */

/** Comparisons of one rule, and of all rules of a policy: some seconds each. */
const MOST_WORK = 2 ** 25;
const MOST_IN_ALL = 2 ** 28;

/** Raised where a rule would take too long; it is undecided then. */
export class TooMuch extends Error {
  override readonly name = "TooMuch";
}

export class Budget {
  #rule = MOST_WORK;
  #all = MOST_IN_ALL;

  /** For the next rule. */
  renew(): void {
    this.#rule = Math.min(MOST_WORK, this.#all);
  }

  spend(work: number): void {
    this.#rule -= work;
    this.#all -= work;
    if (this.#rule < 0) throw new TooMuch("the tables, images and memory map have more parts than a rule looks at");
  }
}
