/** Parameters as JSON, bounded: a message that is too long would end the connection, and with it what others have on it. */
import { usageError } from "./errors.ts";

/** Bytes of one message to the bridge (docs/api.md, Limits), less its head. */
const MAX_PARAMS = (1 << 20) - 256;
const NEXT = "Addresses and 64-bit values are `0x…` strings; docs/api.md has the limits.";

/** Throws a usage error for what is no JSON, such as a bigint, and for what is too long. */
export function paramsText(method: string, params: object): string {
  const text = jsonText(method, params);
  const bytes = text.length * 3 <= MAX_PARAMS ? 0 : new TextEncoder().encode(text).length;
  if (bytes > MAX_PARAMS) throw usageError(`Cannot call ${method}: its parameters have ${bytes} bytes`, NEXT);
  return text;
}

function jsonText(method: string, params: object): string {
  try {
    return JSON.stringify(params);
  } catch (error) {
    throw usageError(`Cannot call ${method}: ${error instanceof Error ? error.message : String(error)}`, NEXT);
  }
}
