// TLB maintenance (D8.16). Each instruction is logged, as a store is.
#include "blame.h"

#define TLBI(pc, operation, operand)                                                             \
  __asm__ volatile("dsb ishst\n\tadr %0, 0f\n0:\n\ttlbi " operation ", %1\n\tdsb ish\n\tisb" \
                   : "=&r"(pc)                                                                     \
                   : "r"(operand)                                                                  \
                   : "memory")

// The operand has VA[55:12] in bits 43:0, and ASID 0 (C5.5).
SEPARATE void invalidate_page(uint64_t va) {
  uint64_t pc, operand = va >> 12 & 0xfffffffffff;
  if (current_el() == 1)
    TLBI(pc, "vae1is", operand);
  else
    TLBI(pc, "vae2is", operand);
  begin_deed(HERE(pc), "tlbi", current_el() == 1 ? "VAE1IS" : "VAE2IS");
  field("new", operand);
  field("va", va);
  end_deed(HERE(pc));
}

SEPARATE void invalidate_all(void) {
  uint64_t pc;
  if (current_el() == 1)
    __asm__ volatile("dsb ishst\n\tadr %0, 0f\n0:\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" : "=&r"(pc)::"memory");
  else
    __asm__ volatile("dsb ishst\n\tadr %0, 0f\n0:\n\ttlbi alle2is\n\tdsb ish\n\tisb" : "=&r"(pc)::"memory");
  begin_deed(HERE(pc), "tlbi", current_el() == 1 ? "VMALLE1IS" : "ALLE2IS");
  end_deed(HERE(pc));
}
