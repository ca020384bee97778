/**
 * From what people call a place to its address in the guest.
 *
 * Services are looked up in UEFI's tables as they stand now; symbols and images among what is loaded now. A guest whose firmware does not show
 * its tables yet is let run until it does. An address that comes out is where a breakpoint goes: one that several things may mean is refused.
 *
 * Source: UEFI 2.10, 4.4 and 4.5: services by their tables. Arm ARM DDI 0487, D1.4.1: offsets of vectors from VBAR_ELx.
 */
import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { nearNames } from "../base/near.ts";
import { type Registers, registersOf } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import type { Study } from "../diagnose/study.ts";
import { PointView } from "../diff/point-view.ts";
import { imageAt, imageOffsetText } from "../efi/images.ts";
import { NO_FUNCTIONS } from "../efi/structures.ts";
import type { EfiTable } from "../efi/tables.ts";
import { EXCEPTIONS, type Location, ORIGINS, parseLocation } from "../plan/location.ts";
import type { Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";
import type { FindOptions, Surroundings } from "./surroundings.ts";

export interface FoundPlace {
  readonly address: VirtAddr;
  /** As it was asked for; for an address what is there, or the address. Printable. */
  readonly name: string;
  /** The service that it is: `gBS->Stall`. */
  readonly service?: string;
  /** The vector base that has to be in force for the place to be a vector. */
  readonly vectors?: { readonly register: string; readonly base: bigint };
}

/** An address, the text of a place (`gBS->Stall`, `DxeCore+0x3160`, `image!symbol`), or one that was taken apart already. */
export type Where = bigint | number | string | Location | FoundPlace;

export type PlaceLocation = Exclude<Location, { kind: "write" }>;

export class Places {
  readonly #target: Target;
  readonly #surroundings: Surroundings;

  constructor(target: Target, surroundings: Surroundings) {
    this.#target = target;
    this.#surroundings = surroundings;
  }

  /** Raises `no-such-place` with near names, `bad-expression` for what is no place, and what `locateExitBootServices` raises. */
  async find(where: Where, options: FindOptions = {}): Promise<FoundPlace> {
    if (typeof where === "object" && !("kind" in where)) return where;
    const location = locationOf(where);
    switch (location.kind) {
      case "address":
        return { address: codeAddress(location.address), name: hex(location.address) };
      case "service":
        return this.#service(location, options);
      case "vector":
        return this.#vector(location);
      case "symbol":
      case "image":
        return this.#named(location, options);
    }
  }

  /** The functions that a table points at. Raises as `find` does. */
  async services(table: "gBS" | "gRT", options: FindOptions = {}): Promise<readonly FoundPlace[]> {
    const found = await this.#table(table, options);
    if (found?.state !== "valid") throw noService(`${table}->`, found);
    return [...found.fields]
      .filter(([name, address]) => !NO_FUNCTIONS.has(name) && address !== 0n && address % 4n === 0n)
      .map(([name, address]) => serviceAt(`${table}->${name}`, address));
  }

  async #table(table: keyof typeof TABLES, options: FindOptions): Promise<EfiTable | undefined> {
    const { roots } = await this.#surroundings.locate(options);
    const { tables } = await this.#surroundings.tables(roots);
    return tables.find(({ name }) => name === TABLES[table]);
  }

  async #service({ table, name }: Extract<Location, { kind: "service" }>, options: FindOptions): Promise<FoundPlace> {
    const found = await this.#table(table, options);
    const address = NO_FUNCTIONS.has(name) || table === "gST" ? undefined : found?.fields.get(name);
    if (found?.state !== "valid" || address === undefined) throw noService(`${table}->${name}`, found);
    return serviceAt(`${table}->${name}`, address);
  }

  async #vector({ exception, from, level }: Extract<Location, { kind: "vector" }>): Promise<FoundPlace> {
    const registers = await this.#registers(/^(cpsr|VBAR_EL[123])$/);
    const taken = level ?? Math.max(1, currentExceptionLevel(registers) ?? 1);
    const register = `VBAR_EL${taken}`;
    const base = registers.get(register);
    const name = `vector(${exception}, ${from}, EL${taken})`;
    if (base === undefined) {
      throw new EbscopeError("register-missing", `Cannot tell where ${name} is: the stub does not offer ${register}`);
    }
    const offset = ORIGINS.indexOf(from) * 0x200 + EXCEPTIONS.indexOf(exception) * 0x80;
    return { address: virt(base + BigInt(offset)), name, vectors: { register, base } };
  }

  async #registers(names: RegExp): Promise<Registers> {
    const definitions = this.#target.info.registers.filter(({ name }) => names.test(name));
    const [row] = await this.#target.readRegisters([this.#target.stoppedCpu], definitions);
    return registersOf(definitions, row ?? []);
  }

  async #named(location: Extract<Location, { kind: "symbol" | "image" }>, options: FindOptions): Promise<FoundPlace> {
    let study = await this.#surroundings.study();
    let found = addressesOf(study, location);
    if (found.length === 0 && study.capture.efi === undefined && (await this.#mayShowTables(options))) {
      study = await this.#surroundings.study();
      found = addressesOf(study, location);
    }
    const [address] = found;
    const name = textOf(location);
    if (address !== undefined && found.length === 1) return { address: codeAddress(address), name };
    throw found.length === 0 ? nothingCalled(study, location) : severalCalled(study, name, found);
  }

  /** Whether the guest was let run until its firmware showed its tables. One that has left its firmware stays where it is. */
  async #mayShowTables(options: FindOptions): Promise<boolean> {
    try {
      await this.#surroundings.locate(options);
      return true;
    } catch (error) {
      if (error instanceof EbscopeError && error.code === "already-exited") return false;
      throw error;
    }
  }
}

const TABLES = { gBS: "BootServices", gRT: "RuntimeServices", gST: "SystemTable" } as const;

function serviceAt(service: string, address: bigint): FoundPlace {
  return { address: codeAddress(address), name: service, service };
}

function locationOf(where: bigint | number | string | Location): PlaceLocation {
  if (typeof where === "bigint" || typeof where === "number") return { kind: "address", address: BigInt(where) };
  const location = typeof where === "string" ? parseLocation(where) : where;
  if (location.kind !== "write") return location;
  throw new EbscopeError("bad-expression", "Cannot find a write as a place: it is no code", {
    next: "Watch it: watchWrite(address, size).",
  });
}

/** A64 instructions lie on multiples of four. */
function codeAddress(address: bigint): VirtAddr {
  if (address % 4n === 0n && address >= 0n && address < 1n << 64n) return virt(address);
  throw new EbscopeError("no-such-place", `Cannot stop at ${hex(address)}: no instruction begins there`, {
    next: "Give an address that is a multiple of 4.",
  });
}

/** `DxeCore+0x3160`, `image!symbol` */
export function textOf(location: Extract<Location, { kind: "symbol" | "image" }>): string {
  if (location.kind === "image") return printable(`${location.image}+${hex(location.offset)}`);
  return printable(location.image === undefined ? location.name : `${location.image}!${location.name}`);
}

/** Every address that a name may mean, ascending. */
export function addressesOf(study: Study, location: Extract<Location, { kind: "symbol" | "image" }>): bigint[] {
  const view = new PointView(study.capture, study.capture.points[0] as Point);
  if (location.kind === "image") {
    const images = imagesNamed(study, location.image).map(({ base }) => base);
    const bases = images.length > 0 ? images : study.names.addressesOf(location.image, view);
    return bases.map((base) => BigInt.asUintN(64, base + location.offset));
  }
  const all = study.names.addressesOf(location.name, view);
  if (location.image === undefined) return all;
  const images = imagesNamed(study, location.image);
  return all.filter((address) => imageAt(images, address) !== undefined);
}

function imagesNamed({ images }: Study, name: string) {
  const same = images.filter((image) => image.name === name);
  return same.length > 0 ? same : images.filter((image) => image.name?.toLowerCase() === name.toLowerCase());
}

function noService(whole: string, table: EfiTable | undefined): EbscopeError {
  const [short = "", name = ""] = whole.split("->");
  if (table === undefined || table.state !== "valid") {
    return new EbscopeError("no-such-place", `Cannot find ${printable(whole)}: the table ${short} cannot be read`);
  }
  if (short === "gST") {
    return new EbscopeError("no-such-place", `Cannot stop at ${printable(whole)}: the system table has no functions`, {
      next: "Services are those of gBS and gRT: gBS->ExitBootServices.",
    });
  }
  const functions = [...table.fields.keys()].filter((field) => !NO_FUNCTIONS.has(field));
  return unknownName(
    whole,
    `${short} has no such service`,
    nearNames(name, functions).map((each) => `${short}->${each}`),
  );
}

function nothingCalled(study: Study, location: Extract<Location, { kind: "symbol" | "image" }>): EbscopeError {
  const images = study.images.flatMap(({ name }) => name ?? []);
  const wanted = location.kind === "image" ? location.image : (location.image ?? location.name);
  const known =
    location.kind === "image" || location.image !== undefined ? images : [...images, ...symbolsLike(study, wanted)];
  const without = study.symbols.matches.length + study.symbols.kernels.length === 0;
  const isLoaded =
    location.kind === "symbol" && location.image !== undefined && imagesNamed(study, location.image).length > 0;
  const near = isLoaded ? nearNames(location.name, symbolsLike(study, location.name)) : nearNames(wanted, known);
  const why = without && location.kind === "symbol" ? "there are no symbols" : "nothing that is loaded is called so";
  return unknownName(textOf(location), why, near);
}

function unknownName(text: string, why: string, near: readonly string[]): EbscopeError {
  const message = `Cannot find ${JSON.stringify(printable(text, 80))}: ${why}`;
  if (near.length === 0) return new EbscopeError("no-such-place", message);
  return new EbscopeError("no-such-place", message, {
    next: `Did you mean ${near.map((each) => printable(each, 80)).join(", ")}?`,
  });
}

function severalCalled(study: Study, name: string, found: readonly bigint[]): EbscopeError {
  const places = found.slice(0, 8).map((address) => {
    const image = imageAt(study.images, address);
    return image === undefined ? hex(address) : `${hex(address)} (${printable(imageOffsetText(image, address), 80)})`;
  });
  const message = `Cannot tell which ${JSON.stringify(name)} is meant: there is one at ${places.join(" and ")}`;
  return new EbscopeError("no-such-place", message, { next: "Give the address, or image!symbol." });
}

/** Symbols whose names are looked at, and how many are compared letter by letter. */
const MAX_LOOKED_AT = 500_000;
const MAX_COMPARED = 5_000;

/** The symbols whose names begin alike and are about as long. */
function symbolsLike({ symbols }: Study, name: string): string[] {
  const found = new Set<string>();
  const files = new Set([...symbols.matches, ...symbols.kernels].map(({ file }) => file));
  const start = name.slice(0, 1).toLowerCase();
  let looked = 0;
  for (const { symbols: table } of files) {
    for (let i = 0; i < table.length && looked < MAX_LOOKED_AT && found.size < MAX_COMPARED; i++, looked++) {
      const each = table.at(i)?.name ?? "";
      if (Math.abs(each.length - name.length) <= 4 && each.slice(0, 1).toLowerCase() === start) found.add(each);
    }
  }
  return [...found];
}
