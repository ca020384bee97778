/**
 * The memory types of MAIR_ELx in words.
 *
 * Source: Arm ARM DDI 0487, D24.2 MAIR_EL1, the tables for Attr, dd, oooo and iiii.
 */
import { memoryTypeOf, memoryWords } from "../memory-type.ts";

/**
 * Names the memory type of one attribute byte of MAIR_ELx: "Device-nGnRE", "Normal NC", "Normal WB RAWA",
 * "Normal outer WB RAWA inner NC", "reserved 0x02".
 */
export function memoryType(attr: number): string {
  return memoryWords(memoryTypeOf(attr));
}
