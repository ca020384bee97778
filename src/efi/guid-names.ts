/** GUIDs of protocols and tables by name. */
import { CONFIGURATION_TABLES, PROTOCOLS } from "../../symbols/guids.ts";

/** As its specification prints it; undefined for one that is not known here. `guid` is in lower case. */
export function guidName(guid: string): string | undefined {
  for (const names of [PROTOCOLS, CONFIGURATION_TABLES]) if (Object.hasOwn(names, guid)) return names[guid];
  return undefined;
}
