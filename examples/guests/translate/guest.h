// What the files of this program share.
#pragma once

#include "arch.h"

// QEMU's virt board (hw/arm/virt.c, base_memmap), and how this program uses the RAM.
#define UART_BASE UINT64_C(0x09000000)
#define IMAGE UINT64_C(0x40000000)    // the device tree, this program, its stack, which ends at 0x43ff0000 (start.S)
#define CODE UINT64_C(0x40200000)     // code and constants (link.ld); what is written comes after
#define DATA_START UINT64_C(0x40400000)
#define TABLES UINT64_C(0x44000000)   // translation tables of the configuration in use
#define TABLES_END UINT64_C(0x4c000000)
#define SCRATCH UINT64_C(0x50000000)  // pages full of BRK #0, which the tables lead to
#define SCRATCH_END UINT64_C(0x50ff0000)
#define CALLS SCRATCH_END             // 64 KiB full of HVC #1: what stands in the vectors of EL1
#define MAPPED_END UINT64_C(0x52000000)

// uart.c
void start_uart(void);
void put_text(const char *text);
void put_hex(uint64_t value);
char get(void);

// tables.c: one translation table tree. An address that it translates has `input_bits` bits above `base`.
enum format { PLAIN, LPA, LPA2 };
struct space {
  unsigned granule_bits, input_bits;
  int start_level;
  enum format format; // LPA: FEAT_LPA with 64 KiB; LPA2: FEAT_LPA2 with TCR.DS = 1
  uint64_t base;      // of the lowest address
  uint64_t root;      // physical
  uint64_t table_bits; // go into the table descriptors made from now on
};
void forget_tables(void);
uint64_t new_table(uint64_t size, uint64_t alignment);
struct space lower_space(unsigned granule_bits, unsigned tsz, enum format format);
struct space upper_space(unsigned granule_bits, unsigned tsz, enum format format);
struct space stage2_space(unsigned granule_bits, unsigned tsz, int start_level, enum format format);
uint64_t span(const struct space *s, int level); // bytes that one entry stands for
uint64_t *entry(struct space *s, uint64_t address, int level); // makes the tables on the way
uint64_t output(const struct space *s, uint64_t pa); // the address fields of a descriptor
void leaf(struct space *s, uint64_t address, int level, uint64_t pa, uint64_t bits);
void swap_tables(void); // all made so far: big-endian descriptors
void identity(struct space *s, uint64_t from, uint64_t to, uint64_t bits); // level 2 blocks

// gallery.c: what there is to see in a stage 1 tree, from `at` (aligned to a level 1 entry) on.
void gallery(struct space *s, uint64_t at);
uint64_t gallery_place(const struct space *s); // where there is room for it, clear of this program
uint64_t far_page(unsigned i, uint64_t size, unsigned bits); // some physical address that is not looked at
uint64_t scratch_page(unsigned i, uint64_t size);
extern uint64_t vectors_at; // where gallery() put the vectors of EL1; 0 when it did not

// ask.c
struct column {
  const char *name;
  uint64_t (*ask)(uint64_t va);
  bool fetches;
};
extern const struct column el1_columns[], el1_old_columns[], el1_data_columns[], nested_columns[],
    nested_data_columns[], el2_columns[], host_columns[], el3_columns[];
uint64_t fetch(uint64_t va, uint64_t spsr);

// run.c: a configuration, and the addresses to ask about.
struct plan {
  const char *name, *regime;
  unsigned el; // whose registers
  const struct column *columns;
  bool rebuild; // AT may write to the tables: make them anew before the test looks at them
  uint64_t sctlr, tcr, mair, ttbr0, ttbr1;
  uint64_t hcr, vtcr, vttbr; // at EL2
};
typedef void build(struct plan *plan);
void examine(build *make);
void probe(uint64_t va);       // data accesses only
void probe_fetch(uint64_t va); // and fetches: what is there is scratch or not mapped
_Noreturn void unexpected_exception(uint64_t esr, uint64_t elr, uint64_t far);

// Memory types for MAIR_ELx.
extern const uint64_t mairs[3];

// stage1.c, sizes.c, single.c, stage2.c; main.c has the features
static inline unsigned tg0(unsigned granule_bits) { return granule_bits == 12 ? 0 : granule_bits == 14 ? 2 : 1; }
uint64_t tcr_two(const struct space *lower, const struct space *upper);
uint64_t tcr_one(const struct space *s);
void use_el1(struct plan *p, const struct space *lower, const struct space *upper);
void examine_el1(void);          // stage 1 of EL1&0
void examine_sizes(void);
void examine_el1_from_within(void);
void examine_el2(void);
void examine_el3(void);
void examine_stage2(void);
unsigned physical_bits(void);
bool has_lpa(void);
bool has_lpa2(unsigned granule_bits);
bool has_granule(unsigned granule_bits);
bool has_small_tables(void);
bool has_e0pd(void);
bool has_host_extensions(void);
bool has_forced_write_back(void);
