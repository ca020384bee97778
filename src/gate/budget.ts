/** What one rule may cost: tables, images and memory maps are the guest's word, and all of them together multiply. */

/** Comparisons: some seconds. */
const MOST_WORK = 2 ** 25;

/** Raised where a rule would take too long; it is undecided then. */
export class TooMuch extends Error {
  override readonly name = "TooMuch";
}

export class Budget {
  #left = MOST_WORK;

  spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw new TooMuch("the tables, images and memory map have more parts than a rule looks at");
  }
}
