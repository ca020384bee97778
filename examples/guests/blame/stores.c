// Functions that change one descriptor, each by an instruction of its own.
#include "blame.h"

SEPARATE void make_read_only(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old | DESC_READ_ONLY);
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE void make_writable(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old & ~DESC_READ_ONLY);
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE void flip_execute(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old ^ execute_never());
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE void make_executable(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, (old & ~execute_never()) | DESC_READ_ONLY);
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE void break_entry(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, UINT64_C(0));
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE void make_entry(const struct slot *slot, uint64_t value) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, value);
  log_store(HERE(pc), "store", slot, old);
  __asm__ volatile("dsb ishst\n\tisb" ::: "memory");
}

// AttrIndx, bits 4:2, becomes 0: Device-nGnRnE by edk2's MAIR.
SEPARATE void change_memory_type(const struct slot *slot) {
  uint64_t old = *slot->at;
  break_entry(slot);
  make_entry(slot, old & ~DESC_ATTR_INDEX(7));
}
