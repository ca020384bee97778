// Mode `forms`: the instructions by which a descriptor can be stored to, other than those of mode `flips`.
#include "blame.h"

// In wide.S.
uint64_t store_cleared_line(volatile uint64_t *at); // returns its return address
extern const uint64_t store_cleared_line_instruction;

#define DC_ZVA_SIZE (UINT64_C(4) << (READ_REGISTER(dczid_el0) & 0xf))

// One store in a function of its own; `%1` is the address, `%2` the new descriptor, `%w2` its low half.
#define FORM(name, instruction, ...)                                                                      \
  SEPARATE static void name(const struct slot *slot) {                                                    \
    uint64_t pc, old = *slot->at, value = old ^ execute_never(), to = (uint64_t)slot->at;                 \
    __VA_ARGS__;                                                                                          \
    __asm__ volatile("adr %0, 0f\n0:\n\t" instruction : "=&r"(pc), "+&r"(to) : "r"(value) : "memory"); \
    log_store(HERE(pc), "store", slot, old);                                                              \
    invalidate_page(slot->va);                                                                            \
  }

FORM(store_release, "stlr %2, [%1]", (void)0)
FORM(store_post_index, "str %2, [%1], #8", (void)0)
FORM(store_pre_index, "str %2, [%1, #16]!", to -= 16)
FORM(store_unscaled, "stur %2, [%1, #-7]", to += 7)
FORM(store_register_offset, "str %2, [%1, xzr]", (void)0)
FORM(store_upper_word, "str %w2, [%1, #4]", value >>= 32)
FORM(store_upper_half, "strh %w2, [%1, #6]", value >>= 48)
FORM(store_non_temporal, "stnp %w2, %w2, [%1]", value = 0)

// Exclusive stores may fail, and are tried again: only the one that succeeds changes memory.
SEPARATE static void store_exclusive(const struct slot *slot) {
  uint64_t pc, old, value;
  uint32_t failed;
  __asm__ volatile("1:\n\t"
                   "ldxr %1, [%4]\n\t"
                   "eor %2, %1, %5\n\t"
                   "adr %0, 0f\n"
                   "0:\n\t"
                   "stxr %w3, %2, [%4]\n\t"
                   "cbnz %w3, 1b"
                   : "=&r"(pc), "=&r"(old), "=&r"(value), "=&r"(failed)
                   : "r"(slot->at), "r"(execute_never())
                   : "memory");
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

// Four bytes before and four behind the border of two descriptors: bits 63:32 of the first, 31:0 of the second.
SEPARATE static void store_across(const struct slot *first, const struct slot *second) {
  uint64_t pc, old[2] = { *first->at, *second->at };
  uint64_t value = (old[0] ^ execute_never()) >> 32 | (old[1] | DESC_READ_ONLY) << 32;
  STORE(pc, (uint64_t)first->at + 4, value);
  log_store(HERE(pc), "store", first, old[0]);
  log_same_store(HERE(pc), "store", second, old[1]);
  invalidate_all();
}

// DC ZVA: a cache maintenance instruction that stores, here to all descriptors of one block of it. One line tells of
// each.
SEPARATE static void clear_line(unsigned page) {
  static uint64_t old[ENTRIES / 2]; // DC ZVA clears 2 KiB at most
  struct slot slot;
  unsigned count = DC_ZVA_SIZE / sizeof(uint64_t);
  for (unsigned i = 0; i < count; i++) old[i] = *page_slot(page + i).at;
  slot = page_slot(page);
  uint64_t back = store_cleared_line(slot.at);
  for (unsigned i = 0; i < count; i++) {
    const struct deed *deed = LEAF("store_cleared_line", store_cleared_line_instruction, back);
    slot = page_slot(page + i);
    (i ? log_same_store : log_store)(deed, "store", &slot, old[i]);
  }
  invalidate_all();
}

SEPARATE void run_forms(const struct scene *scene) {
  static void (*const forms[])(const struct slot *) = {
    store_release,    store_post_index, store_pre_index, store_unscaled,     store_register_offset,
    store_upper_word, store_upper_half, store_exclusive, store_non_temporal,
  };
  (void)scene;
  for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
    struct slot slot = page_slot(i);
    forms[i](&slot);
  }
  struct slot first = page_slot(20), second = page_slot(21);
  store_across(&first, &second);
  if (!(READ_REGISTER(dczid_el0) & 0x10)) clear_line(64); // DCZID_EL0.DZP: it is not allowed
}
