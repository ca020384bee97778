// Mode `registers`: control registers get other values, in bits that change nothing for this program or the firmware.
// One is written by code that is copied to its place in here: nobody can have found that MSR before.
#include "blame.h"

#define SCTLR_SA (UINT64_C(1) << 3) // SP alignment checks
#define VECTORS 16
#define VECTOR_SIZE UINT64_C(0x80)

// The MSR of the Exception level this runs at, and what is read back.
#define WRITE(pc, now, el1, el2, value)                                                                     \
  do {                                                                                                      \
    if (current_el() == 1)                                                                                  \
      __asm__ volatile("adr %0, 0f\n0:\n\tmsr " #el1 ", %1\n\tisb" : "=&r"(pc) : "r"(value) : "memory"); \
    else                                                                                                    \
      __asm__ volatile("adr %0, 0f\n0:\n\tmsr " #el2 ", %1\n\tisb" : "=&r"(pc) : "r"(value) : "memory"); \
    (now) = current_el() == 1 ? READ_REGISTER(el1) : READ_REGISTER(el2);                                    \
  } while (0)
#define READ(el1, el2) (current_el() == 1 ? READ_REGISTER(el1) : READ_REGISTER(el2))
#define NAME(el1, el2) (current_el() == 1 ? #el1 : #el2)

// In wide.S: `msr mair_elN, x0`, an ISB, and the return address in X0.
extern const uint32_t write_mair_el1[], write_mair_el2[];
#define COPIED_WORDS 4

// A slot of MAIR_ELx that no descriptor uses.
static uint64_t with_slot(uint64_t mair, unsigned slot, uint64_t attribute) {
  return (mair & ~(UINT64_C(0xff) << 8 * slot)) | attribute << 8 * slot;
}

SEPARATE static void set_spare_attribute(uint64_t attribute) {
  uint64_t pc, now, old = READ(mair_el1, mair_el2);
  WRITE(pc, now, mair_el1, mair_el2, with_slot(old, 7, attribute));
  log_register(HERE(pc), NAME(MAIR_EL1, MAIR_EL2), old, now);
}

SEPARATE static void stop_checking_stack(void) {
  uint64_t pc, now, old = READ(sctlr_el1, sctlr_el2);
  WRITE(pc, now, sctlr_el1, sctlr_el2, old & ~SCTLR_SA);
  log_register(HERE(pc), NAME(SCTLR_EL1, SCTLR_EL2), old, now);
}

SEPARATE static void write_same_control(void) {
  uint64_t pc, now, old = READ(sctlr_el1, sctlr_el2);
  WRITE(pc, now, sctlr_el1, sctlr_el2, old);
  log_register(HERE(pc), NAME(SCTLR_EL1, SCTLR_EL2), old, now);
}

// TCR_ELx.TBI: bit 37, or bit 20 in EL2's own layout. Nobody here uses the top byte.
SEPARATE static void ignore_top_byte(void) {
  uint64_t pc, now, old = READ(tcr_el1, tcr_el2);
  WRITE(pc, now, tcr_el1, tcr_el2, old | UINT64_C(1) << (two_ranges() ? 37 : 20));
  log_register(HERE(pc), NAME(TCR_EL1, TCR_EL2), old, now);
  invalidate_all();
}

// TTA, traps of trace registers: bit 28 of CPACR_EL1 and of its layout in CPTR_EL2, else bit 20.
SEPARATE static void flip_trace_traps(void) {
  uint64_t pc, now, old = READ(cpacr_el1, cptr_el2);
  WRITE(pc, now, cpacr_el1, cptr_el2, old ^ UINT64_C(1) << (two_ranges() ? 28 : 20));
  log_register(HERE(pc), NAME(CPACR_EL1, CPTR_EL2), old, now);
}

// Vectors that branch to the old ones: B reaches 128 MiB.
static bool build_vectors(uint32_t *vectors, uint64_t old) {
  int64_t distance = (int64_t)(old - (uint64_t)vectors);
  if (distance >= 0x8000000 || distance < -0x8000000) return false;
  for (unsigned i = 0; i < VECTORS; i++) {
    uint32_t *vector = vectors + i * VECTOR_SIZE / sizeof *vectors;
    *(volatile uint32_t *)vector = 0x14000000 | ((uint64_t)distance >> 2 & 0x3ffffff);
    publish_instruction(vector);
  }
  return true;
}

SEPARATE static void move_vectors(uint64_t page) {
  uint64_t pc, now, old = READ(vbar_el1, vbar_el2);
  if (!build_vectors((uint32_t *)page, old)) {
    blame_line("cannot move the vectors: they are too far away");
    return;
  }
  struct slot slot = slot_of(page);
  make_executable(&slot);
  WRITE(pc, now, vbar_el1, vbar_el2, page);
  log_register(HERE(pc), NAME(VBAR_EL1, VBAR_EL2), old, now);
}

static void copy_code(uint64_t page) {
  const uint32_t *code = current_el() == 1 ? write_mair_el1 : write_mair_el2;
  for (unsigned i = 0; i < COPIED_WORDS; i++) ((volatile uint32_t *)page)[i] = code[i];
  publish_instruction((const void *)page);
  struct slot slot = slot_of(page);
  make_executable(&slot);
}

// The MSR is the first instruction of the page. The function there has no frame record.
SEPARATE static void run_copied_code(uint64_t page) {
  uint64_t old = READ(mair_el1, mair_el2);
  copy_code(page);
  uint64_t back = ((uint64_t(*)(uint64_t))page)(with_slot(old, 6, 0x0c));
  log_register(LEAF("copied_code", page, back), NAME(MAIR_EL1, MAIR_EL2), old, READ(mair_el1, mair_el2));
}

void run_registers(const struct scene *scene) {
  (void)scene;
  set_spare_attribute(0x04);
  stop_checking_stack();
  run_copied_code(area.pages + 20 * PAGE_SIZE);
  set_spare_attribute(0x44);
  ignore_top_byte();
  write_same_control();
  flip_trace_traps();
  move_vectors(area.pages + 21 * PAGE_SIZE);
}
