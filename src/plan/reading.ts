/** What the readers of a plan's parts share: the document, and the list of what is wrong in it. */
import type { PlanDocument } from "../api/plan.ts";
import type { Document, Path, Problem } from "../document/index.ts";
import { durationMs } from "./duration.ts";
import { type Expression, readExpression } from "./expression/expression.ts";
import { TextFault } from "./expression/fault.ts";

export class Reading {
  readonly document: Document<PlanDocument>;
  readonly problems: Problem[] = [];

  constructor(document: Document<PlanDocument>) {
    this.document = document;
  }

  wrong(path: Path, message: string, cure: string, offset?: number): void {
    this.problems.push(this.document.problem(path, message, cure, offset));
  }

  /** What `read` makes of a text; undefined when it is wrong, which is noted at the column inside it. */
  text<T>(path: Path, what: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (fault) {
      if (!(fault instanceof TextFault)) throw fault;
      this.wrong(path, `${what} cannot be read: ${fault.message}`, fault.cure, fault.offset);
      return undefined;
    }
  }

  expression(path: Path, value: string | number): Expression | undefined {
    return this.text(path, "The expression", () => readExpression(String(value)));
  }

  /** Of a limit, which may not be nothing. */
  duration(text: string | undefined, path: Path): number | undefined {
    if (text === undefined) return undefined;
    const ms = durationMs(text);
    if (ms === 0) this.wrong(path, "No time at all is left", "Give a longer time, such as 5s.");
    return ms;
  }
}
