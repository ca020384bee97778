// Mode `many`: one descriptor is stored to n times, as fast as can be, by one instruction.
#include "blame.h"

// Alternates between two values: the first store makes the page read-only. One line tells of all stores: `old` is from
// before the first, `new` from after the last.
SEPARATE static void store_many(const struct slot *slot, uint64_t count) {
  uint64_t pc, old = *slot->at, value = old, left = count;
  if (!count) return;
  __asm__ volatile("adr %0, 0f\n"
                   "1:\n\teor %1, %1, %4\n"
                   "0:\n\tstr %1, [%3]\n\t"
                   "subs %2, %2, #1\n\t"
                   "b.ne 1b"
                   : "=&r"(pc), "+&r"(value), "+&r"(left)
                   : "r"(slot->at), "r"(DESC_READ_ONLY)
                   : "memory", "cc");
  begin_deed(HERE(pc), "many", "L3");
  field("old", old);
  field("new", *slot->at);
  field("at", (uint64_t)slot->at);
  field("va", slot->va);
  field("count", count);
  end_deed(HERE(pc));
}

SEPARATE void run_many(const struct scene *scene) {
  struct slot slot = page_slot(0);
  store_many(&slot, scene->options.count);
  invalidate_all();
}
