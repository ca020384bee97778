/** Which captures stay. */
import type { Digest } from "./pack.ts";

/** All that are given must let a capture stay. */
export interface Keep {
  /** The newest so many. */
  readonly count?: number;
  /** Those not older. */
  readonly days?: number;
  /** The newest that together need no more room on the disk, in bytes. */
  readonly bytes?: number;
}

export interface Candidate {
  readonly id: string;
  readonly createdAt: string;
  /** Of its own file, in bytes. */
  readonly size: number;
  /** The pages that it needs; only looked at for `bytes`. */
  readonly digests: readonly Digest[] | undefined;
}

const DAY = 86_400_000;

/** The ids that stay of captures, the newest of which comes first. A page that newer ones need costs nothing more. */
export function kept(
  captures: readonly Candidate[],
  keep: Keep,
  lengths: ReadonlyMap<Digest, number>,
  now: Date,
): ReadonlySet<string> {
  const ids = new Set<string>();
  const counted = new Set<Digest>();
  let room = keep.bytes ?? Number.POSITIVE_INFINITY;
  const oldest = now.getTime() - (keep.days ?? Number.POSITIVE_INFINITY) * DAY;
  for (const { id, createdAt, size, digests = [] } of captures.slice(0, keep.count)) {
    const fresh = digests.filter((digest) => !counted.has(digest));
    room -= fresh.reduce((sum, digest) => sum + (lengths.get(digest) ?? 0), size);
    // What has no time of its own is not thrown away for its age.
    if (room < 0) break;
    if (Date.parse(createdAt) < oldest) continue;
    for (const digest of fresh) counted.add(digest);
    ids.add(id);
  }
  return ids;
}
