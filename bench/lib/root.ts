/** Where the project is: what is compiled runs from a folder below it. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = packageFolder(dirname(fileURLToPath(import.meta.url)));

function packageFolder(from: string): string {
  if (existsSync(join(from, "package.json"))) return from;
  const above = dirname(from);
  if (above === from) throw new Error("this is no part of a checkout");
  return packageFolder(above);
}
