// AArch64: system registers, translation table descriptors and cache maintenance. The names of registers and fields are
// those of the Arm Architecture Reference Manual (DDI 0487); translation is chapter D8.
//
// UEFI firmware runs at EL1 or EL2. At EL2 this program always uses the _EL2 names: they reach the same registers
// whatever HCR_EL2.E2H says, whereas the _EL1 names are redirected to EL2 with E2H=1. What E2H does change is the
// layout of TCR_EL2, the meaning of two descriptor bits, and whether there is a TTBR1_EL2.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define READ_REGISTER(name)                              \
  ({                                                     \
    uint64_t value_;                                     \
    __asm__ volatile("mrs %0, " #name : "=r"(value_));   \
    value_;                                              \
  })

static inline unsigned current_el(void) { return READ_REGISTER(CurrentEL) >> 2 & 3; }

// HCR_EL2.E2H, bit 34: EL2 has the two-range, two-privilege regime that EL1 has. False at EL1, which cannot ask.
static inline bool host_extensions(void) { return current_el() == 2 && (READ_REGISTER(hcr_el2) >> 34 & 1); }

// True where descriptors, TCR and TTBR1 have the form of the EL1&0 regime.
static inline bool two_ranges(void) { return current_el() == 1 || host_extensions(); }

struct registers {
  uint64_t ttbr0, ttbr1, tcr, mair, sctlr, vbar, sp;
};

// Always inlined, so that `sp` is the stack pointer of the function that asks.
static inline __attribute__((always_inline)) void read_registers(struct registers *r) {
  if (current_el() == 1) {
    r->ttbr0 = READ_REGISTER(ttbr0_el1);
    r->ttbr1 = READ_REGISTER(ttbr1_el1);
    r->tcr = READ_REGISTER(tcr_el1);
    r->mair = READ_REGISTER(mair_el1);
    r->sctlr = READ_REGISTER(sctlr_el1);
    r->vbar = READ_REGISTER(vbar_el1);
  } else {
    r->ttbr0 = READ_REGISTER(ttbr0_el2);
    r->ttbr1 = host_extensions() ? READ_REGISTER(S3_4_C2_C0_1) : 0; // TTBR1_EL2, UNDEFINED without FEAT_VHE
    r->tcr = READ_REGISTER(tcr_el2);
    r->mair = READ_REGISTER(mair_el2);
    r->sctlr = READ_REGISTER(sctlr_el2);
    r->vbar = READ_REGISTER(vbar_el2);
  }
  __asm__ volatile("mov %0, sp" : "=r"(r->sp));
}

// SCTLR_ELx
#define SCTLR_M (UINT64_C(1) << 0)
#define SCTLR_C (UINT64_C(1) << 2)

// VMSAv8-64 descriptors, 4 KiB granule
#define PAGE_SIZE UINT64_C(0x1000)
#define ENTRIES 512
#define OUTPUT_ADDRESS UINT64_C(0x0000fffffffff000)
#define DESC_VALID (UINT64_C(1) << 0)
#define DESC_TABLE (UINT64_C(1) << 1)     // levels 0-2: a table and not a block; level 3: a page
#define DESC_ATTR_INDEX(n) ((uint64_t)(n) << 2)
#define DESC_AP1 (UINT64_C(1) << 6)       // EL0 may access; RES1 in a regime without EL0
#define DESC_READ_ONLY (UINT64_C(1) << 7) // AP[2]
#define DESC_INNER_SHAREABLE (UINT64_C(3) << 8)
#define DESC_ACCESSED (UINT64_C(1) << 10) // AF
#define DESC_PXN (UINT64_C(1) << 53)      // RES0 in a regime without EL0
#define DESC_UXN (UINT64_C(1) << 54)      // XN in a regime without EL0
#define DESC_PXN_TABLE (UINT64_C(1) << 59)
#define DESC_UXN_TABLE (UINT64_C(1) << 60)
#define DESC_READ_ONLY_TABLE (UINT64_C(1) << 62) // APTable[1]

// The bit that stops the firmware's own exception level from executing: in a leaf, and in a table above it.
static inline uint64_t execute_never(void) { return two_ranges() ? DESC_PXN : DESC_UXN; }
static inline uint64_t execute_never_table(void) { return two_ranges() ? DESC_PXN_TABLE : DESC_UXN_TABLE; }

// The bytes an entry at `level` stands for: 512 GiB, 1 GiB, 2 MiB, 4 KiB.
static inline uint64_t span(unsigned level) { return PAGE_SIZE << 9 * (3 - level); }

// Data cache clean and invalidate by address, to the point of coherency. CTR_EL0.DminLine is log2 of words.
static inline void clean_to_memory(uint64_t from, uint64_t to) {
  uint64_t line = UINT64_C(4) << (READ_REGISTER(ctr_el0) >> 16 & 0xf);
  for (uint64_t at = from & ~(line - 1); at < to; at += line) __asm__ volatile("dc civac, %0" ::"r"(at) : "memory");
  __asm__ volatile("dsb sy" ::: "memory");
}

// Makes freshly written instructions visible to fetches on this CPU.
static inline void publish_instruction(const void *at) {
  __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0\n\tdsb ish\n\tisb" ::"r"(at) : "memory");
}

// Sleeps for ever. WFI and not WFE: emulators treat WFE as a hint to try again at once.
static inline _Noreturn void idle(void) {
  for (;;) __asm__ volatile("wfi");
}

// In arch.S.
void switch_tables_el1(uint64_t ttbr0, uint64_t tcr, uint64_t mair, const void *vbar);
void switch_tables_el2(uint64_t ttbr0, uint64_t tcr, uint64_t mair, const void *vbar);
void write_sctlr_el1(uint64_t value);
void write_sctlr_el2(uint64_t value);
extern const char vectors[];

// In arch.S too: the one instruction each that is meant to fault, at or before a known label.
struct efi_boot_services;
void call_stall(struct efi_boot_services *boot_services, uint64_t microseconds);
void call_address(uint64_t target);
void store_word(uint64_t target, uint32_t value);
extern const char call_stall_return[], call_address_return[], store_word_instruction[];
