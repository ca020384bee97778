// Memory of this application, found and mapped so that its descriptors can be changed without harm. As in
// handoff/live.c: 4 KiB granule, one to one, so a table's address can be followed as it is.
#include "blame.h"

#define RANGES 3

struct area area;
static unsigned pool_used;

uint64_t *take_page(void) {
  if (pool_used == ENTRIES) {
    blame_line("cannot go on: the pool is empty");
    idle();
  }
  uint64_t *page = (uint64_t *)(area.pool + pool_used++ * PAGE_SIZE);
  for (unsigned i = 0; i < ENTRIES; i++) *(volatile uint64_t *)&page[i] = 0;
  return page;
}

uint64_t live_root(void) {
  struct registers r;
  read_registers(&r);
  return r.ttbr0 & OUTPUT_ADDRESS;
}

// The level a walk starts at, by TCR_ELx.T0SZ: 48-bit addresses start at level 0, 39-bit ones at level 1.
unsigned live_start_level(void) {
  struct registers r;
  read_registers(&r);
  return 3 - (64 - (r.tcr & 0x3f) - 13) / 9;
}

struct slot slot_in(uint64_t root, unsigned level, uint64_t va) {
  for (volatile uint64_t *table = (volatile uint64_t *)root;; level++) {
    volatile uint64_t *at = &table[va / span(level) % ENTRIES];
    if (level == 3 || !(*at & DESC_VALID) || !(*at & DESC_TABLE))
      return (struct slot){ at, level, va & ~(span(level) - 1) };
    table = (volatile uint64_t *)(*at & OUTPUT_ADDRESS);
  }
}

struct slot slot_of(uint64_t va) { return slot_in(live_root(), live_start_level(), va); }

struct slot page_slot(unsigned page) { return slot_of(area.pages + page * PAGE_SIZE); }

// Maps `va` by a page and not by a block: a table with the same translations takes the block's place, so there is no
// moment in which they are missing. (Arm asks for break-before-make here; QEMU's CPUs do without, and other code may be
// in the block.)
static void split(uint64_t va) {
  for (struct slot slot = slot_of(va); slot.level < 3; slot = slot_of(va)) {
    uint64_t block = *slot.at, *table = take_page();
    for (unsigned i = 0; i < ENTRIES; i++)
      table[i] = (block + i * span(slot.level + 1)) | (slot.level == 2 ? DESC_TABLE : 0);
    __asm__ volatile("dsb ishst" ::: "memory");
    *slot.at = (uint64_t)table | DESC_VALID | DESC_TABLE;
    forget_translations();
  }
}

// Maps 2 MiB of this application by one block, with what its first page has.
static void join(uint64_t va) {
  struct slot slot = slot_of(va);
  if (slot.level < 2) split(va);
  if ((slot = slot_of(va)).level == 2) return;
  uint64_t block = *slot.at & ~DESC_TABLE;
  uint64_t root = live_root();
  for (unsigned level = live_start_level(); level < 2; level++)
    root = ((volatile uint64_t *)root)[va / span(level) % ENTRIES] & OUTPUT_ADDRESS;
  volatile uint64_t *at = (volatile uint64_t *)root + va / span(2) % ENTRIES;
  *at = 0;
  forget_translations();
  *at = block;
  forget_translations();
}

bool make_area(struct efi_boot_services *services) {
  uint64_t start, pages = (RANGES + 1) * ENTRIES;
  if (services->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_LOADER_DATA, pages, &start) != EFI_SUCCESS) return false;
  start = (start + span(2) - 1) & ~(span(2) - 1);
  area = (struct area){ start, start + span(2), start + 2 * span(2) };
  for (uint64_t va = start; va < start + RANGES * span(2); va += PAGE_SIZE)
    if (!find_leaf(va).writable) return false;
  split(area.pool);
  split(area.pages);
  join(area.block);
  return find_leaf((uint64_t)page_slot(0).at).writable && slot_of(area.block).level == 2;
}
