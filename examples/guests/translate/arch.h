// AArch64: system registers and translation table descriptors. The names of registers and fields are those of the Arm
// Architecture Reference Manual (DDI 0487); translation is chapter D8. Registers that came after Armv8.0 are written by
// their encodings, so that the compiler may not use anything newer either.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define READ_REGISTER(name)                            \
  ({                                                   \
    uint64_t value_;                                   \
    __asm__ volatile("mrs %0, " #name : "=r"(value_)); \
    value_;                                            \
  })
#define WRITE_REGISTER(name, value) __asm__ volatile("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

#define TTBR1_EL2 S3_4_C2_C0_1 // FEAT_VHE
#define PAN S3_0_C4_C2_3       // FEAT_PAN
#define ID_AA64MMFR2_EL1 S3_0_C0_C7_2
// For macros whose argument is one of the above.
#define READ_ENCODED(name) READ_REGISTER(name)
#define WRITE_ENCODED(name, value) WRITE_REGISTER(name, value)

static inline unsigned current_el(void) { return READ_REGISTER(CurrentEL) >> 2 & 3; }
static inline void synchronize(void) { __asm__ volatile("dsb sy\n\tisb" ::: "memory"); }

#define BIT(n) (UINT64_C(1) << (n))
#define FIELD(value, low, width) ((value) >> (low) & (BIT(width) - 1))

// SCTLR_ELx
#define SCTLR_M BIT(0)
#define SCTLR_C BIT(2)
#define SCTLR_I BIT(12)
#define SCTLR_WXN BIT(19)
#define SCTLR_EE BIT(25)
#define SCTLR_EL1_RES1 UINT64_C(0x30d00800)
#define SCTLR_EL2_RES1 UINT64_C(0x30c50830)

// TCR_EL1, and TCR_EL2 with HCR_EL2.E2H = 1
#define TCR_EPD0 BIT(7)
#define TCR_EPD1 BIT(23)
#define TCR_IPS(n) ((uint64_t)(n) << 32)
#define TCR_TBI0 BIT(37)
#define TCR_TBI1 BIT(38)
#define TCR_HA BIT(39)
#define TCR_HD BIT(40)
#define TCR_HPD0 BIT(41)
#define TCR_HPD1 BIT(42)
#define TCR_E0PD0 BIT(55)
#define TCR_E0PD1 BIT(56)
#define TCR_DS BIT(59)
// TCR_EL2 with E2H = 0, and TCR_EL3
#define TCR_ONE_RES1 (BIT(31) | BIT(23))
#define TCR_ONE_PS(n) ((uint64_t)(n) << 16)
#define TCR_ONE_TBI BIT(20)
#define TCR_ONE_HA BIT(21)
#define TCR_ONE_HD BIT(22)
#define TCR_ONE_HPD BIT(24)
#define TCR_ONE_DS BIT(32)

// HCR_EL2
#define HCR_VM BIT(0)
#define HCR_PTW BIT(2)
#define HCR_DC BIT(12)
#define HCR_TGE BIT(27)
#define HCR_RW BIT(31)
#define HCR_CD BIT(32)
#define HCR_E2H BIT(34)
#define HCR_FWB BIT(46)

// VTCR_EL2
#define VTCR_RES1 BIT(31)
#define VTCR_HA BIT(21)
#define VTCR_HD BIT(22)
#define VTCR_DS BIT(32)
#define VTCR_SL2 BIT(33)

// Descriptors
#define VALID BIT(0)
#define NOT_BLOCK BIT(1) // levels below 3: a table; level 3: a page
#define ATTR_INDEX(n) ((uint64_t)(n) << 2)
#define NS BIT(5)
#define AP(n) ((uint64_t)(n) << 6)
#define SH(n) ((uint64_t)(n) << 8)
#define SH_INNER SH(3)
#define AF BIT(10)
#define NG BIT(11)
#define GP BIT(50)
#define DBM BIT(51)
#define CONTIGUOUS BIT(52)
#define PXN BIT(53)
#define UXN BIT(54)
#define PXN_TABLE BIT(59)
#define UXN_TABLE BIT(60)
#define AP_TABLE(n) ((uint64_t)(n) << 61)
// Stage 2
#define MEM_ATTR(n) ((uint64_t)(n) << 2)
#define S2AP(n) ((uint64_t)(n) << 6)
#define XN(n) ((uint64_t)(n) << 53)
