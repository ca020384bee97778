/** Files as tools that show a verdict beside the sources want them. */
import { isAbsolute, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** Relative to the working folder, which in CI is that of the sources; as it is for a file elsewhere. */
export function pathFromHere(file: string): string {
  const path = relative("", resolve(file));
  return path === "" || path.startsWith("..") || isAbsolute(path) ? file : path;
}

/** A URI reference: relative where the file is in the working folder, else the file's whole URI. */
export function uriFromHere(file: string): string {
  const path = pathFromHere(file).replaceAll(/\p{Cs}/gu, "\u{fffd}");
  if (isAbsolute(path) || path.startsWith("..")) return pathToFileURL(path).href;
  return path.split(/[/\\]/).map(encodeURIComponent).join("/");
}
