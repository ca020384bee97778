// Modes `newtable` and `switch`: tables that come into being, and are live by one store or one MSR.
#include "blame.h"

// A store to a table that no walk reaches: not yet, or no longer.
SEPARATE static void shape_entry(const struct slot *slot, const char *kind, uint64_t value) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, value);
  log_store(HERE(pc), kind, slot, old);
}

// --- newtable -------------------------------------------------------------------------------------------------------

// 512 pages with what the block has, in a table that is not live yet.
SEPARATE static uint64_t *build_table(uint64_t block) {
  uint64_t *table = take_page();
  for (unsigned i = 0; i < ENTRIES; i++) table[i] = (block + i * PAGE_SIZE) | DESC_TABLE;
  return table;
}

SEPARATE static void replace_block(const struct slot *block) {
  uint64_t old = *block->at, *table = build_table(old);
  struct slot different = { &table[7], 3, block->va + 7 * PAGE_SIZE };
  shape_entry(&different, "early", table[7] | DESC_READ_ONLY);
  break_entry(block);
  make_entry(block, (uint64_t)table | DESC_VALID | DESC_TABLE);
}

void run_newtable(const struct scene *scene) {
  (void)scene;
  struct slot block = slot_of(area.block);
  replace_block(&block);
  struct slot leaf = slot_of(area.block + 9 * PAGE_SIZE), again = slot_of(area.block + 7 * PAGE_SIZE);
  make_read_only(&leaf);
  flip_execute(&again);
}

// --- switch ---------------------------------------------------------------------------------------------------------

// The top table may have fewer entries than a page has room for: TCR_ELx.T0SZ.
static unsigned top_entries(void) {
  struct registers r;
  read_registers(&r);
  return (UINT64_C(1) << (64 - (r.tcr & 0x3f))) / span(live_start_level());
}

static uint64_t copy_table(uint64_t from, unsigned level, unsigned entries) {
  const volatile uint64_t *old = (const volatile uint64_t *)from;
  uint64_t *table = take_page();
  for (unsigned i = 0; i < entries; i++) {
    uint64_t entry = old[i];
    if (level < 3 && (entry & DESC_VALID) && (entry & DESC_TABLE))
      entry = (entry & ~OUTPUT_ADDRESS) | copy_table(entry & OUTPUT_ADDRESS, level + 1, ENTRIES);
    table[i] = entry;
  }
  return (uint64_t)table;
}

// TTBR0_ELx keeps its ASID and CnP.
SEPARATE static void switch_to(uint64_t root) {
  struct registers r;
  uint64_t pc;
  read_registers(&r);
  uint64_t value = (r.ttbr0 & ~OUTPUT_ADDRESS) | root;
  __asm__ volatile("dsb ish" ::: "memory");
  if (current_el() == 1)
    __asm__ volatile("adr %0, 0f\n0:\n\tmsr ttbr0_el1, %1\n\tisb" : "=&r"(pc) : "r"(value) : "memory");
  else
    __asm__ volatile("adr %0, 0f\n0:\n\tmsr ttbr0_el2, %1\n\tisb" : "=&r"(pc) : "r"(value) : "memory");
  log_register(HERE(pc), current_el() == 1 ? "TTBR0_EL1" : "TTBR0_EL2", r.ttbr0, value);
  invalidate_all();
}

SEPARATE static uint64_t build_tree(unsigned level) {
  uint64_t root = copy_table(live_root(), level, top_entries());
  struct slot read_only = slot_in(root, level, area.pages), executable = slot_in(root, level, area.pages + PAGE_SIZE);
  shape_entry(&read_only, "early", *read_only.at | DESC_READ_ONLY);
  shape_entry(&executable, "early", *executable.at ^ execute_never());
  return root;
}

void run_switch(const struct scene *scene) {
  (void)scene;
  struct slot lost[] = { page_slot(2), page_slot(3) };
  struct slot same = page_slot(4);
  switch_to(build_tree(live_start_level()));
  struct slot flipped = page_slot(2);
  make_read_only(&flipped);
  shape_entry(&lost[0], "late", *lost[0].at ^ execute_never());
  shape_entry(&lost[1], "late", *lost[1].at | DESC_READ_ONLY);
  shape_entry(&same, "late", 0);
}
