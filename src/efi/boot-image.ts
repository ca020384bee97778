/**
 * Kernels and hypervisors that are EFI images and bootable without UEFI too: no record in them names a file.
 *
 * Source: Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image": the 64-byte header with text_offset at 8 and the magic
 * number `ARM\x64` at 0x38, which the DOS header of an EFI image has room for. Xen's docs/misc/arm/booting.txt: the same header.
 */
import type { Structure } from "./bytes.ts";
import type { PeSection } from "./sections.ts";

/** `ARM\x64` */
const MAGIC = 0x644d_5241;
const MAGIC_OFFSET = 0x38;

/**
 * Which boot image a DOS header belongs to; undefined without the magic number. Xen's PE header has an empty section `.reloc` in front and
 * its text_offset is 0; Linux had that section before 4.12, when its text_offset was never 0.
 */
export function bootImageName(dos: Structure, sections: readonly PeSection[]): string | undefined {
  if (!dos.has(MAGIC_OFFSET, 4) || dos.u32(MAGIC_OFFSET) !== MAGIC) return undefined;
  const [first] = sections;
  const dummy = first?.name === ".reloc" && first.size === 0;
  return dummy && dos.u64(8) === 0n ? "Xen arm64 Image" : "Linux arm64 Image";
}
