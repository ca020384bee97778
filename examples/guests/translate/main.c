// Asks the CPU what it makes of translation tables, from every Exception level that the machine has: first as EL3 of
// its own regime, then as EL2 of its own and of those below, at last as EL1 from within. README.md has the output.
#include "guest.h"

extern const char vectors[];
void leave_el3(uint64_t scr);
void leave_el2(uint64_t hcr);

#define BRK_0 UINT64_C(0xd4200000)
#define HVC_1 UINT64_C(0xd4000022)
#define SCR_NS BIT(0)
#define SCR_RES1 (BIT(4) | BIT(5))
#define SCR_HCE BIT(8)
#define SCR_RW BIT(10)
#define MDCR_TDE BIT(8)

static void fill_words(uint64_t from, uint64_t to, uint64_t instruction) {
  for (uint64_t at = from; at < to; at += 8) *(volatile uint64_t *)at = instruction << 32 | instruction;
}

static unsigned address_fields(unsigned low) { return FIELD(READ_REGISTER(id_aa64mmfr0_el1), low, 4); }

unsigned physical_bits(void) {
  static const uint8_t bits[] = {32, 36, 40, 42, 44, 48, 52, 56};
  return bits[address_fields(0) & 7];
}
bool has_lpa(void) { return physical_bits() >= 52; }
bool has_lpa2(unsigned granule_bits) {
  return granule_bits == 12 ? address_fields(28) == 1 : granule_bits == 14 && address_fields(20) == 2;
}
bool has_granule(unsigned granule_bits) {
  if (granule_bits == 12) return address_fields(28) != 0xf;
  return granule_bits == 14 ? address_fields(20) != 0 : address_fields(24) != 0xf;
}

bool has_small_tables(void) { return FIELD(READ_ENCODED(ID_AA64MMFR2_EL1), 28, 4) != 0; }    // FEAT_TTST
bool has_forced_write_back(void) { return FIELD(READ_ENCODED(ID_AA64MMFR2_EL1), 40, 4) != 0; } // FEAT_S2FWB
bool has_e0pd(void) { return FIELD(READ_ENCODED(ID_AA64MMFR2_EL1), 60, 4) != 0; }            // FEAT_E0PD
bool has_host_extensions(void) { return FIELD(READ_REGISTER(id_aa64mmfr1_el1), 8, 4) != 0; } // FEAT_VHE

static void print_start(void) {
  put_text("guest: start el=");
  put_hex(current_el());
  put_text(" mmfr0=0x");
  put_hex(READ_REGISTER(id_aa64mmfr0_el1));
  put_text(" mmfr1=0x");
  put_hex(READ_REGISTER(id_aa64mmfr1_el1));
  put_text(" mmfr2=0x");
  put_hex(READ_ENCODED(ID_AA64MMFR2_EL1));
  put_text("\r\n");
}

static void at_el2(void) {
  WRITE_REGISTER(vbar_el2, vectors);
  WRITE_REGISTER(mdcr_el2, READ_REGISTER(mdcr_el2) | MDCR_TDE); // BRK at EL1 and EL0 is ours
  WRITE_REGISTER(hcr_el2, HCR_RW);
  synchronize();
  examine_el2();
  examine_el1();
  examine_stage2();
  WRITE_REGISTER(mdcr_el2, READ_REGISTER(mdcr_el2) & ~MDCR_TDE);
  leave_el2(HCR_RW);
}

void main(void) {
  fill_words(SCRATCH, SCRATCH_END, BRK_0);
  fill_words(CALLS, CALLS + 0x10000, HVC_1);
  start_uart();
  print_start();
  if (current_el() == 3) {
    WRITE_REGISTER(vbar_el3, vectors);
    examine_el3();
    leave_el3(SCR_NS | SCR_RES1 | SCR_HCE | SCR_RW);
  }
  if (current_el() == 2) at_el2();
  WRITE_REGISTER(vbar_el1, vectors);
  examine_el1_from_within();
  put_text("guest: done\r\n");
}
