// Finds and changes entries of the translation tables in use. As in handoff/live.c: 4 KiB granule, one to one.
#include "causes.h"

static unsigned start_level(uint64_t tcr) {
  unsigned bits = 64 - (tcr & 0x3f); // TCR_ELx.T0SZ
  return 3 - (bits - 13) / 9;
}

struct entry find_entry(uint64_t va) {
  struct registers r;
  read_registers(&r);
  volatile uint64_t *table = (volatile uint64_t *)(r.ttbr0 & OUTPUT_ADDRESS);
  for (unsigned level = start_level(r.tcr);; level++) {
    volatile uint64_t *at = &table[va / span(level) % ENTRIES];
    if (level == 3 || !(*at & DESC_VALID) || !(*at & DESC_TABLE)) return (struct entry){ at, level };
    table = (volatile uint64_t *)(*at & OUTPUT_ADDRESS);
  }
}

// Only permissions and validity change here, never the address or the size of a mapping, so a single write will do
// (break-before-make, D8.16.1, is for the others).
bool change_entry(struct entry entry, uint64_t descriptor) {
  if (!find_leaf((uint64_t)entry.at).writable) {
    line("cannot change the translation tables: they are read-only");
    return false;
  }
  *entry.at = descriptor;
  forget_translations();
  return true;
}

bool make_writable(uint64_t va) {
  struct entry entry = find_entry(va);
  if (!find_leaf(va).mapped || !change_entry(entry, *entry.at & ~DESC_READ_ONLY)) return false;
  return find_leaf(va).writable;
}

// The first 2 MiB or more of unmapped addresses at or above `from`. Does not return if there are none.
uint64_t find_hole(uint64_t from) {
  struct registers r;
  read_registers(&r);
  uint64_t limit = UINT64_C(1) << (64 - (r.tcr & 0x3f));
  for (uint64_t va = from; va < limit;) {
    struct leaf leaf = find_leaf(va);
    if (!leaf.mapped && leaf.level < 3 && va % span(2) == 0) return va;
    va = (va | (span(leaf.level) - 1)) + 1;
  }
  line("cannot find an unmapped address");
  idle();
}
