/**
 * The two secrets of a running bridge: who has one may read, who has the other may control guests. Each is 256 random bits, made at start
 * and void at the end, and lies in a file that only its owner may read.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { chmod, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { systemReason } from "../../base/system-error.ts";
import { printable } from "../../base/text.ts";
import type { Access } from "../handlers.ts";

const TOKEN_BYTES = 32;

export interface Tokens {
  /** Undefined: this bridge lets nobody control. */
  readonly control: string | undefined;
  readonly read: string;
}

/** Fresh tokens, in the letters of base64url (RFC 4648, 5), which headers and subprotocols may hold. */
export function makeTokens(options: { readonly readOnly?: boolean } = {}): Tokens {
  const token = (): string => randomBytes(TOKEN_BYTES).toString("base64url");
  return { control: options.readOnly ? undefined : token(), read: token() };
}

/** What the holder of a token may do; undefined for what is none. Takes the same time whatever is wrong with it. */
export function accessOf(tokens: Tokens, candidate: string): Access | undefined {
  const control = tokens.control !== undefined && same(tokens.control, candidate);
  const read = same(tokens.read, candidate);
  if (control) return "control";
  return read ? "read" : undefined;
}

/** Digests have one length, as timingSafeEqual wants. */
function same(token: string, candidate: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(token), digest(candidate));
}

/** Where the tokens of a bridge lie. */
export interface TokenFiles {
  readonly control: string | undefined;
  readonly read: string;
  /** Removes them. */
  remove(): Promise<void>;
}

/** Writes the tokens into `folder` (made if need be, for its owner only), in place of those of a bridge before. */
export async function writeTokens(folder: string, tokens: Tokens): Promise<TokenFiles> {
  const control = join(folder, "control.token");
  const read = join(folder, "read.token");
  const remove = async (): Promise<void> => {
    await Promise.all([control, read].map((path) => rm(path, { force: true })));
  };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await remove();
    if (tokens.control !== undefined) await writePrivate(control, tokens.control);
    await writePrivate(read, tokens.read);
  } catch (error) {
    const message = `Cannot write the tokens to ${printable(folder)}: ${systemReason(error)}`;
    throw new EbscopeError("file-unwritable", message, { cause: error });
  }
  return { control: tokens.control === undefined ? undefined : control, read, remove };
}

/** `wx`: never through a link or into a file that somebody put there. */
async function writePrivate(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    // A file system that has no permissions of its own may have made another mode of it.
    await chmod(path, 0o600);
    await file.writeFile(`${text}\n`);
  } finally {
    await file.close();
  }
}
