// Reads the firmware's translation tables, to find a page with wanted permissions instead of assuming one. Handles
// what UEFI prescribes for AArch64 (2.3.6.1): 4 KiB granule, one to one, so a table's address can be followed as it is.
#include "guest.h"

// The level a walk starts at, by TCR_ELx.T0SZ: 48-bit addresses start at level 0, 39-bit ones at level 1.
static unsigned start_level(uint64_t tcr) {
  unsigned bits = 64 - (tcr & 0x3f);
  return 3 - (bits - 13) / 9;
}

// Permissions only ever shrink on the way down: a table can forbid what its entries allow (hierarchical control, D8.4).
struct leaf find_leaf(uint64_t va) {
  struct registers r;
  read_registers(&r);
  const uint64_t *table = (const uint64_t *)(r.ttbr0 & OUTPUT_ADDRESS);
  struct leaf leaf = { .level = start_level(r.tcr), .writable = true, .executable = true };
  for (;; leaf.level++) {
    uint64_t entry = table[va / span(leaf.level) % ENTRIES];
    if (!(entry & DESC_VALID)) return leaf;
    if (leaf.level == 3 || !(entry & DESC_TABLE)) {
      leaf.mapped = true;
      leaf.writable &= !(entry & DESC_READ_ONLY);
      leaf.executable &= !(entry & execute_never());
      return leaf;
    }
    leaf.writable &= !(entry & DESC_READ_ONLY_TABLE);
    leaf.executable &= !(entry & execute_never_table());
    table = (const uint64_t *)(entry & OUTPUT_ADDRESS);
  }
}
