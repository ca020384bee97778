/** Holding what came from outside against a schema. */
import type { TSchema } from "typebox";
import { Check, Errors } from "typebox/schema";
import { printable } from "../base/text.ts";

/** Faults that are told of one value. */
const MAX_TOLD = 3;
const MAX_TEXT = 160;

/** What is wrong with a value, in words for the one who sent it; undefined when nothing is. */
export function faultsOf(schema: TSchema, value: unknown): string | undefined {
  if (Check(schema, value)) return undefined;
  const [, errors] = Errors(schema, value);
  // Of a name too many there are two errors: that of the list of all such names, which may be long, is left out.
  const told = errors.filter(({ keyword }) => keyword !== "additionalProperties").slice(0, MAX_TOLD);
  return told.map(faultText).join("; ") || "not what the schema asks for";
}

function faultText({
  keyword,
  instancePath,
  message,
}: {
  keyword: string;
  instancePath: string;
  message: string;
}): string {
  const place = instancePath.slice(1);
  if (keyword === "boolean") return `${printable(place, MAX_TEXT)} is not known here`;
  return printable(place === "" ? message : `${place} ${message}`, MAX_TEXT);
}
