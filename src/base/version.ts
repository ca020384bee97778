/** The version of this package. */
import { readFileSync } from "node:fs";

interface PackageFile {
  readonly version: string;
}

/** From package.json beside the built or the source tree. */
export const VERSION: string = readPackageFile().version;

/** What captures say about who wrote them. */
export const CREATED_BY = `ebscope ${VERSION}`;

function readPackageFile(): PackageFile {
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as PackageFile;
    } catch {
      // Built code lies one folder deeper than the sources.
    }
  }
  return { version: "unknown" };
}
