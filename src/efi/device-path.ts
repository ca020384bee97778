/**
 * The file names in a device path.
 *
 * Source: UEFI specification 2.10, 10.3: nodes of {Type, SubType, Length (16 bits)}; type 4 (media), subtype 4 is a file path in UCS-2,
 * subtype 6 a file in a firmware volume (a GUID); type 0x7f ends the path. Guest data: a node shorter than its header ends the walk.
 */
import type { Structure } from "./bytes.ts";

const MEDIA = 4;
const FILE_PATH = 4;
const FIRMWARE_FILE = 6;
const END = 0x7f;
const MAX_NODES = 64;

/** What a device path names; each the last of its kind in the path, undefined when there is none. */
export interface DevicePathNames {
  /** The name of a file, without its folders. Not yet printable. */
  readonly file: string | undefined;
  /** The GUID of a file in a firmware volume. */
  readonly guid: string | undefined;
}

export function devicePathNames(path: Structure): DevicePathNames {
  let [file, guid]: [string | undefined, string | undefined] = [undefined, undefined];
  for (let at = 0, nodes = 0; path.has(at, 4) && nodes < MAX_NODES; nodes++) {
    const type = path.bytes[at];
    const subtype = path.bytes[at + 1];
    const length = path.u16(at + 2);
    if (type === END || length < 4 || !path.has(at, length)) break;
    if (type === MEDIA && subtype === FILE_PATH) file = fileName(path.bytes.subarray(at + 4, at + length)) ?? file;
    if (type === MEDIA && subtype === FIRMWARE_FILE && length >= 20) guid = path.guid(at + 4);
    at += length;
  }
  return { file, guid };
}

function fileName(ucs2: Uint8Array): string | undefined {
  const even = ucs2.subarray(0, ucs2.length & ~1);
  const [text = ""] = Buffer.from(even).toString("utf16le").split("\0");
  return text.split(/[/\\]/).findLast((part) => part !== "");
}
