// Mode `notlbi`: changed mappings that are used again without the TLB maintenance, or the break-before-make, that they
// need (D8.16.1), beside others that are changed as they should be. What the loads return is not printed: whether a CPU
// still knows the old translation is its own affair, and a debugger that stops it can make it forget.
#include "blame.h"

SEPARATE static void load_page(uint64_t va) {
  uint64_t pc, value;
  __asm__ volatile("adr %0, 0f\n0:\n\tldr %1, [%2]" : "=&r"(pc), "=&r"(value) : "r"(va) : "memory");
  begin_deed(HERE(pc), "load", "page");
  field("va", va);
  end_deed(HERE(pc));
}

// Changes a descriptor and does nothing about TLBs.
SEPARATE static void change_only(const struct slot *slot, uint64_t value) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, value);
  log_store(HERE(pc), "store", slot, old);
  __asm__ volatile("dsb ishst\n\tisb" ::: "memory");
}

// The page 32 further, read-only: another output address.
static uint64_t elsewhere(const struct slot *slot) { return (*slot->at + 32 * PAGE_SIZE) | DESC_READ_ONLY; }

SEPARATE static void remap_without_tlbi(const struct slot *slot) {
  load_page(slot->va);
  change_only(slot, elsewhere(slot));
  load_page(slot->va);
}

SEPARATE static void protect_without_tlbi(const struct slot *slot) {
  load_page(slot->va);
  change_only(slot, *slot->at | DESC_READ_ONLY);
  load_page(slot->va);
}

// Changed as it should be: permissions need no break-before-make.
SEPARATE static void protect_with_tlbi(const struct slot *slot) {
  load_page(slot->va);
  make_read_only(slot);
  load_page(slot->va);
}

// Changed as it should be.
SEPARATE static void remap_with_break(const struct slot *slot) {
  uint64_t value = elsewhere(slot);
  load_page(slot->va);
  break_entry(slot);
  make_entry(slot, value);
  load_page(slot->va);
}

// From one valid descriptor to the next, and the TLBI afterwards.
SEPARATE static void remap_without_break(const struct slot *slot) {
  load_page(slot->va);
  change_only(slot, elsewhere(slot));
  invalidate_page(slot->va);
  load_page(slot->va);
}

// The TLBI is for the page behind this one.
SEPARATE static void protect_with_wrong_tlbi(const struct slot *slot) {
  load_page(slot->va);
  change_only(slot, *slot->at | DESC_READ_ONLY);
  invalidate_page(slot->va + PAGE_SIZE);
  load_page(slot->va);
}

// The TLBI comes when the page has been used already.
SEPARATE static void protect_with_late_tlbi(const struct slot *slot) {
  load_page(slot->va);
  change_only(slot, *slot->at | DESC_READ_ONLY);
  load_page(slot->va);
  invalidate_page(slot->va);
  load_page(slot->va);
}

// 0 and the new descriptor, but no TLBI between them.
SEPARATE static void remap_with_break_without_tlbi(const struct slot *slot) {
  uint64_t value = elsewhere(slot);
  load_page(slot->va);
  change_only(slot, 0);
  change_only(slot, value);
  load_page(slot->va);
}

// An invalid descriptor is in no TLB: nothing is missing.
SEPARATE static void map_after_break(const struct slot *slot) {
  uint64_t value = *slot->at;
  break_entry(slot);
  change_only(slot, value);
  load_page(slot->va);
}

// Changed, and never used again before everything is invalidated: nothing is missing.
SEPARATE static void protect_unused(const struct slot *slot) { change_only(slot, *slot->at | DESC_READ_ONLY); }

// Pages lie apart, so that a TLBI for the wrong one is for none of the others.
void run_notlbi(const struct scene *scene) {
  static void (*const steps[])(const struct slot *) = {
    remap_without_tlbi,      protect_without_tlbi,   protect_with_tlbi,
    remap_with_break,        remap_without_break,    protect_with_wrong_tlbi,
    protect_with_late_tlbi,  map_after_break,        remap_with_break_without_tlbi,
    protect_unused,
  };
  (void)scene;
  for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct slot slot = page_slot(2 * i);
    steps[i](&slot);
  }
  invalidate_all();
}
