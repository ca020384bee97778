/** Little-endian fields of structures read from the guest. */

export class Structure {
  readonly #view: DataView;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Whether `size` bytes at `offset` lie inside. */
  has(offset: number, size: number): boolean {
    return offset >= 0 && offset + size <= this.bytes.length;
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  /** ASCII up to the first NUL or `limit` bytes, cut to what is there. */
  ascii(offset: number, limit: number): string {
    const raw = this.bytes.subarray(offset, Math.min(offset + limit, this.bytes.length));
    const end = raw.indexOf(0);
    return Buffer.from(raw.subarray(0, end < 0 ? raw.length : end)).toString("latin1");
  }

  /** A GUID in the usual text form, lower case. */
  guid(offset: number): string {
    const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
    const tail = [...this.bytes.subarray(offset + 8, offset + 16)].map((byte) => hex(byte, 2)).join("");
    const head = `${hex(this.u32(offset), 8)}-${hex(this.u16(offset + 4), 4)}-${hex(this.u16(offset + 6), 4)}`;
    return `${head}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  }
}
