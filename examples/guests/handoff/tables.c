// Mode `tables`: translation tables built from nothing. Addresses have 39 bits (T0SZ=25), so walks start at level 1;
// 1 GiB blocks, 2 MiB blocks and 4 KiB pages all occur. RAM is mapped one to one without execute permission, this
// image's sections with the permissions their PE headers ask for, and two ranges away from their physical addresses.
#include "guest.h"

#define ADDRESS_BITS 39
#define TOP_LEVEL 1

// Where VA and PA differ.
#define ALIAS_PAGE UINT64_C(0x7000000000)
#define ALIAS_RAM UINT64_C(0x4000000000)
#define ALIAS_RAM_SIZE UINT64_C(0x40000000)

enum permission { READ = 1, WRITE = 2, EXECUTE = 4 };

// MAIR_ELx: index 0 is Normal write-back, index 1 Device-nGnRE.
enum memory { NORMAL = 0, DEVICE = 1 };
#define MAIR UINT64_C(0x04ff)

// PE section characteristics (Microsoft PE format, "Section Flags")
#define SECTION_EXECUTE 0x20000000u
#define SECTION_WRITE 0x80000000u

struct pe_section {
  char name[8];
  uint32_t size, address, raw_size, raw_offset, relocations, line_numbers;
  uint16_t relocation_count, line_number_count;
  uint32_t characteristics;
};

#define POOL_TABLES 16
static uint64_t pool[POOL_TABLES][ENTRIES] __attribute__((aligned(4096)));
static unsigned pool_used = 1; // the first is the top-level table

static volatile uint64_t magic = 0x6f66662d646e6168;

// Room for two instructions, in a section that may be written and executed.
__asm__(".section .rwx,\"wx\"\n.balign 8\nscratch: .quad 0\n.text");
extern volatile uint32_t scratch[2];

// --- Descriptors ---------------------------------------------------------------------------------------------------

static uint64_t attributes(unsigned perm, enum memory memory) {
  uint64_t bits = DESC_VALID | DESC_ACCESSED | DESC_ATTR_INDEX(memory);
  if (memory == NORMAL) bits |= DESC_INNER_SHAREABLE;
  if (!(perm & WRITE)) bits |= DESC_READ_ONLY;
  if (!(perm & EXECUTE)) bits |= execute_never();
  return bits | (two_ranges() ? DESC_UXN : DESC_AP1); // there is no EL0: it gets nothing, or the bit is RES1
}

// The table below `entry`, made on first use.
static uint64_t *descend(uint64_t *entry) {
  if (!*entry) {
    if (pool_used == POOL_TABLES) {
      line("cannot map: no table left");
      idle();
    }
    *entry = (uint64_t)pool[pool_used++] | DESC_VALID | DESC_TABLE;
  }
  return (uint64_t *)(*entry & OUTPUT_ADDRESS);
}

// Writes one leaf, as large as alignment and `size` allow, and returns the bytes it covers.
static uint64_t map_leaf(uint64_t va, uint64_t size, uint64_t pa, uint64_t bits) {
  uint64_t *table = pool[0];
  for (unsigned level = TOP_LEVEL;; level++) {
    uint64_t *entry = &table[va / span(level) % ENTRIES];
    if (size >= span(level) && (va | pa) % span(level) == 0) {
      *entry = pa | bits | (level == 3 ? DESC_TABLE : 0);
      return span(level);
    }
    table = descend(entry);
  }
}

// --- Mappings ------------------------------------------------------------------------------------------------------

static void map(uint64_t va, uint64_t size, uint64_t pa, unsigned perm, enum memory memory) {
  char letters[] = { 'R', perm & WRITE ? 'W' : '-', perm & EXECUTE ? 'X' : '-', 0 };
  begin("map");
  field("va", va);
  field("size", size);
  field("pa", pa);
  field_text("perm", letters);
  field_text("mem", memory == DEVICE ? "device" : "normal");
  end();
  for (uint64_t done = 0; done < size;) done += map_leaf(va + done, size - done, pa + done, attributes(perm, memory));
}

static void map_same(uint64_t from, uint64_t to, unsigned perm, enum memory memory) {
  if (to > from) map(from, to - from, from, perm, memory);
}

static uint64_t page_up(uint64_t value) { return (value + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); }

static uint32_t read32(uint64_t at) { return *(const uint32_t *)at; }

// The image in memory begins with its own headers. Sections follow in order, each on a page of its own.
static void map_image(const struct machine *machine) {
  uint64_t base = machine->image_base, pe = base + read32(base + 0x3c);
  unsigned count = read32(pe + 4) >> 16;              // NumberOfSections
  unsigned optional_size = read32(pe + 20) & 0xffff;  // SizeOfOptionalHeader
  const struct pe_section *section = (const struct pe_section *)(pe + 24 + optional_size);
  map_same(base, base + section->address, READ, NORMAL);
  for (; count--; section++) {
    unsigned perm = READ;
    if (section->characteristics & SECTION_WRITE) perm |= WRITE;
    if (section->characteristics & SECTION_EXECUTE) perm |= EXECUTE;
    map_same(base + section->address, page_up(base + section->address + section->size), perm, NORMAL);
  }
}

static void map_machine(const struct machine *machine) {
  map_same(GIC_BASE, GIC_BASE + GIC_SIZE, READ | WRITE, DEVICE);
  map_same(UART_BASE, UART_BASE + PAGE_SIZE, READ | WRITE, DEVICE);
  map_same(RAM_BASE, machine->image_base, READ | WRITE, NORMAL);
  map_image(machine);
  map_same(page_up(machine->image_base + machine->image_size), machine->ram_end, READ | WRITE, NORMAL);
  map(ALIAS_RAM, ALIAS_RAM_SIZE, RAM_BASE, READ, NORMAL);
  map(ALIAS_PAGE, PAGE_SIZE, (uint64_t)&magic & ~(PAGE_SIZE - 1), READ, NORMAL);
}

// --- The switch ----------------------------------------------------------------------------------------------------

// TCR_ELx: table walks are inner shareable and write-back, the granule is 4 KiB, the output size is the CPU's.
static uint64_t translation_control(void) {
  uint64_t size = READ_REGISTER(id_aa64mmfr0_el1) & 0xf; // PARange
  if (size > 5) size = 5;                                // 52 bits need other descriptors
  uint64_t tcr = (64 - ADDRESS_BITS) | 1 << 8 | 1 << 10 | 3 << 12; // T0SZ, IRGN0, ORGN0, SH0
  if (two_ranges()) return tcr | size << 32 | 1 << 23 | UINT64_C(2) << 30; // IPS, EPD1: no TTBR1 walks, TG1
  return tcr | size << 16 | 1 << 23 | UINT64_C(1) << 31;                   // PS, RES1, RES1
}

static void switch_tables(void) {
  void (*change)(uint64_t, uint64_t, uint64_t, const void *) =
    current_el() == 1 ? switch_tables_el1 : switch_tables_el2;
  change((uint64_t)pool[0], translation_control(), MAIR, vectors);
}

// Reads a number through the alias of the page it is in.
static void check_alias(void) {
  uint64_t va = ALIAS_PAGE + (uint64_t)&magic % PAGE_SIZE;
  begin("alias");
  field("va", va);
  field("pa", (uint64_t)&magic);
  field("written", magic);
  field("read", *(volatile uint64_t *)va);
  end();
}

// Writes a function that returns a number, and calls it.
static void check_scratch(void) {
  scratch[0] = 0x52800540; // mov w0, #42
  scratch[1] = 0xd65f03c0; // ret
  publish_instruction((const void *)scratch);
  begin("scratch");
  field("va", (uint64_t)scratch);
  field("returned", ((uint32_t (*)(void))scratch)());
  end();
}

void run_tables(const struct machine *machine) {
  struct registers r;
  map_machine(machine);
  clean_to_memory(machine->image_base, machine->image_base + machine->image_size);
  switch_tables();
  read_registers(&r);
  begin("later");
  print_registers(&r);
  end();
  check_alias();
  check_scratch();
}

// Every vector of arch.S leads here.
_Noreturn void unexpected_exception(uint64_t vector) {
  bool el1 = current_el() == 1;
  begin("unexpected exception");
  field("vector", vector);
  field("esr", el1 ? READ_REGISTER(esr_el1) : READ_REGISTER(esr_el2));
  field("far", el1 ? READ_REGISTER(far_el1) : READ_REGISTER(far_el2));
  field("elr", el1 ? READ_REGISTER(elr_el1) : READ_REGISTER(elr_el2));
  end();
  idle();
}
