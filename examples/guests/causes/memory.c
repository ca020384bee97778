// Modes that read and write what is not there, and two that change what is there.
#include "causes.h"

static void print_access(const char *what, uint64_t target, uint64_t instruction) {
  begin(what);
  field("target", target);
  field("level", find_leaf(target).level);
  field("instruction", instruction);
  end();
}

// --- Not mapped, not aligned ---------------------------------------------------------------------------------------

void run_unmapped_read(const struct scene *scene) {
  uint64_t target = find_hole(scene->ram_end) + 0x1238;
  print_access("read", target, read_unmapped_instruction);
  read_unmapped(target);
  line("the read came back");
}

void run_unmapped_write(const struct scene *scene) {
  uint64_t target = find_hole(scene->ram_end) + 0x5670;
  print_access("write", target, write_unmapped_instruction);
  write_unmapped(target, 0x6577657374697277);
  line("the write came back");
}

// Without the MMU all data accesses are to Device-nGnRnE memory, where they have to be aligned (B2.8.2).
void run_unaligned(const struct scene *scene) {
  static const uint64_t numbers[2] = { 1, 2 };
  uint64_t target = (uint64_t)numbers + 1;
  turn_mmu_off(scene);
  begin("read");
  field("target", target);
  field("size", sizeof *numbers);
  field("instruction", read_unaligned_instruction);
  end();
  read_unaligned(target);
  line("the read came back");
}

// --- A live table overwritten --------------------------------------------------------------------------------------

// What an operating system leaves behind in memory it uses. As a descriptor it is not valid at any level: bits 1:0
// are 1, which is a block at levels 1 and 2 and reserved at level 3.
#define PATTERN UINT64_C(0x5555555555555555)

static uint64_t scratch_page;

// Gets a page that a level 3 table of the firmware maps, and nothing else that matters: of 4 MiB of one type, a page in
// the middle of an aligned 2 MiB gets another type. Firmware that protects memory by type then splits the block.
bool prepare_tables_reused(const struct scene *scene) {
  struct efi_boot_services *services = scene->boot_services;
  uint64_t at;
  if (services->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_BOOT_SERVICES_DATA, 2 * ENTRIES, &at)) return false;
  scratch_page = ((at + span(2) - 1) & ~(span(2) - 1)) + 0x33000;
  if (((efi_free_pages)services->free_pages)(scratch_page, 1)) return false;
  return !services->allocate_pages(EFI_ALLOCATE_ADDRESS, EFI_LOADER_CODE, 1, &scratch_page);
}

static __attribute__((noinline)) void reuse_page(volatile uint64_t *page) {
  for (unsigned i = 0; i < ENTRIES; i++) page[i] = PATTERN;
  forget_translations();
}

void run_tables_reused(const struct scene *scene) {
  (void)scene;
  struct entry entry = find_entry(scratch_page);
  uint64_t table = (uint64_t)entry.at & ~(PAGE_SIZE - 1);
  if (entry.level != 3 || !find_leaf(table).writable) {
    line("cannot find a level 3 table to overwrite");
    return;
  }
  begin("overwrite");
  field("table", table);
  field("level", entry.level);
  field("va", scratch_page & ~(span(2) - 1));
  field("size", span(2));
  field("pattern", PATTERN);
  end();
  print_access("read", scratch_page + 0x10, read_through_lost_table_instruction);
  reuse_page((volatile uint64_t *)table);
  read_through_lost_table(scratch_page + 0x10);
  line("the read came back");
}

// --- The page at 0 -------------------------------------------------------------------------------------------------

static uint64_t own_page[ENTRIES] __attribute__((aligned(4096)));

// A leaf like the one that maps this image's data, but for the address and the rights.
static uint64_t writable_executable_page(uint64_t pa) {
  struct entry like = find_entry(pa);
  uint64_t attributes = *like.at & ~OUTPUT_ADDRESS;
  return pa | ((attributes | DESC_TABLE) & ~(DESC_READ_ONLY | execute_never()));
}

static void use_null(void) {
  volatile uint64_t *null = 0;
  __asm__("" : "+r"(null)); // so that the compiler does not know what it is
  *null = 0x4c4c554e6b6f6f74;
  begin("null");
  field("written", 0x4c4c554e6b6f6f74);
  field("read", *null);
  field("in-own-page", *(volatile uint64_t *)own_page);
  end();
}

void run_wx_null(const struct scene *scene) {
  (void)scene;
  struct entry entry = find_entry(0);
  uint64_t new = writable_executable_page((uint64_t)own_page);
  if (entry.level != 3) {
    line("cannot find a level 3 table for the page at 0");
    return;
  }
  begin("map");
  field("va", 0);
  field("pa", (uint64_t)own_page);
  field("entry", (uint64_t)entry.at);
  field("old", *entry.at);
  field("new", new);
  end();
  if (change_entry(entry, new)) use_null();
}
