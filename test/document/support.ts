import { EbscopeError } from "../../src/base/error.ts";

/** The lines of the `bad-document` that a call raises, without its first line. */
export function mistakes(call: () => unknown): string[] {
  try {
    call();
  } catch (error) {
    if (error instanceof EbscopeError && error.code === "bad-document") return error.message.split("\n").slice(1);
    throw error;
  }
  throw new Error("it was taken");
}
