/**
 * The memory types of MAIR_ELx.
 *
 * Source: Arm ARM DDI 0487, D24.2 MAIR_EL1, the tables for Attr, dd, oooo and iiii. An attribute byte is
 * `0b0000dd00` for Device memory, and `oooo` (outer), `iiii` (inner) for Normal memory. FEAT_XS adds `0b0000dd01`, 0x40
 * and 0xA0; FEAT_MTE2 adds 0xF0. All others with a zero half are UNPREDICTABLE.
 */

const DEVICE = ["Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"] as const;

const SPECIAL: ReadonlyMap<number, string> = new Map([
  [0x40, "Normal NC XS=0"],
  [0xa0, "Normal WT RA XS=0"],
  [0xf0, "Normal WB RAWA Tagged"],
]);

/** Read-Allocate and Write-Allocate hints, from the two low bits of a half; NA is "no allocate". */
const ALLOCATE = ["NA", "WA", "RA", "RAWA"] as const;

/** Words for `oooo` or `iiii`, which is not 0 here: for example "NC", "WB RAWA", "WT RA transient". */
function cachePolicy(half: number): string {
  if (half === 0b0100) return "NC";
  const policy = (half & 0b0100) === 0 ? "WT" : "WB";
  const transient = (half & 0b1000) === 0 ? " transient" : "";
  return `${policy} ${ALLOCATE[half & 0b11]}${transient}`;
}

function reserved(attr: number): string {
  return `reserved 0x${attr.toString(16).toUpperCase().padStart(2, "0")}`;
}

/**
 * Names the memory type of one attribute byte of MAIR_ELx: "Device-nGnRE", "Normal NC", "Normal WB RAWA",
 * "Normal outer WB RAWA inner NC", "reserved 0x02". Source: Arm ARM DDI 0487, D24.2 MAIR_EL1.
 */
export function memoryType(attr: number): string {
  const outer = attr >> 4;
  const inner = attr & 0xf;
  if (outer === 0) {
    if ((inner & 0b10) !== 0) return reserved(attr);
    return `${DEVICE[inner >> 2]}${inner & 0b01 ? " XS=0" : ""}`;
  }
  if (inner === 0) return SPECIAL.get(attr) ?? reserved(attr);
  if (outer === inner) return `Normal ${cachePolicy(inner)}`;
  return `Normal outer ${cachePolicy(outer)} inner ${cachePolicy(inner)}`;
}
