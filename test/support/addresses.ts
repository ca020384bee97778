/** Addresses worth asking about: the same ones each time. */

interface Range {
  readonly va: string;
  readonly size: string;
}

/** A small generator with a fixed seed: the same addresses each time. */
function* randomNumbers(seed: number): Generator<number> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

/** The edges of runs, the middle of runs, and pages near and far from them. */
export function probeAddresses(mappings: readonly Range[], count: number): bigint[] {
  const random = randomNumbers(count);
  const next = (below: bigint): bigint => {
    const value = (BigInt(random.next().value) << 32n) | BigInt(random.next().value);
    return below === 0n ? 0n : value % below;
  };
  const addresses: bigint[] = [0n, 0x1000n];
  while (addresses.length < count && mappings.length > 0) {
    const { va, size } = mappings[Number(next(BigInt(mappings.length)))] as Range;
    const [start, length] = [BigInt(va), BigInt(size)];
    addresses.push(start, start + length - 1n, start + next(length), start - 8n, start + length, next(1n << 44n));
  }
  return addresses.slice(0, count).map((address) => BigInt.asUintN(64, address) & ~7n);
}
