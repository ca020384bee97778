/**
 * Terse executables, notes and memory maps, written field by field after the PI specification 1.8 (volume 1, "TE Image"), the ELF gABI
 * ("Note Section") and the UEFI specification 2.10 (7.2.3, 4.6.4).
 */
import { ascii } from "../support/firmware.ts";

export interface TerseImage {
  readonly size: number;
  readonly strippedSize: number;
  readonly machine?: number;
  readonly sections: readonly (readonly [name: string, offset: number, size: number])[];
  readonly path?: string;
}

/** A TE image as it lies in memory, from where the PE image would begin: its header stands StrippedSize - 40 bytes in. */
export function terseBytes({ size, strippedSize, machine = 0xaa64, sections, path }: TerseImage): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const header = strippedSize - 40;
  bytes.set(ascii("VZ"), header);
  view.setUint16(header + 2, machine, true);
  view.setUint8(header + 4, sections.length);
  view.setUint8(header + 5, 11);
  view.setUint16(header + 6, strippedSize, true);
  view.setUint32(header + 8, 0x1040, true);
  view.setBigUint64(header + 16, 0x5000n, true);
  sections.forEach(([name, offset, length], i) => {
    const at = header + 40 + i * 40;
    bytes.set(ascii(name), at);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, offset, true);
    view.setUint32(at + 36, 0x6000_0020, true);
  });
  if (path !== undefined) {
    const directory = size - 512;
    view.setUint32(header + 32, directory, true);
    view.setUint32(header + 36, 28, true);
    view.setUint32(directory + 12, 2, true);
    view.setUint32(directory + 20, directory + 28, true);
    bytes.set(ascii("NB10"), directory + 28);
    bytes.set(ascii(path), directory + 28 + 16);
  }
  return bytes;
}

/** An ELF note, each part padded to 4 bytes. */
export function note(name: string, type: number, contents: Uint8Array): Uint8Array {
  const pad = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)]);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(name.length, 0);
  head.writeUInt32LE(contents.length, 4);
  head.writeUInt32LE(type, 8);
  return Buffer.concat([head, pad(ascii(name)), pad(contents)]);
}

export interface Row {
  readonly type: number;
  readonly start: bigint;
  readonly pages: bigint;
  readonly virtual?: bigint;
  readonly attribute?: bigint;
}

/** EFI_MEMORY_DESCRIPTORs, `step` bytes apart; what is between them is no zeros. */
export function mapBytes(rows: readonly Row[], step = 48): Uint8Array {
  const bytes = new Uint8Array(rows.length * step).fill(0xaf);
  const view = new DataView(bytes.buffer);
  rows.forEach(({ type, start, pages, virtual = 0n, attribute = 0xfn }, i) => {
    view.setUint32(i * step, type, true);
    view.setBigUint64(i * step + 8, start, true);
    view.setBigUint64(i * step + 16, virtual, true);
    view.setBigUint64(i * step + 24, pages, true);
    view.setBigUint64(i * step + 32, attribute, true);
  });
  return bytes;
}
