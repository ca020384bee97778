import { EbscopeError } from "../../src/base/error.ts";

/** The EbscopeError that a promise rejects with; throws when it resolves or rejects with anything else. */
export async function failure(promise: Promise<unknown>): Promise<EbscopeError> {
  const error: unknown = await promise.then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  if (error instanceof EbscopeError) return error;
  throw error;
}
