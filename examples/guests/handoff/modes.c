// What the guest does once it owns the machine. A mode that returns is done; the fault modes end in the firmware's
// exception handler, which is still installed.
#include "guest.h"

static void run_clean(const struct machine *machine) { (void)machine; }

// The firmware clears the boot services table on its way out, so this fetches a null pointer and branches to it.
static void run_boot_service(const struct machine *machine) {
  begin("call service=Stall");
  field("boot-services", (uint64_t)machine->boot_services);
  field("offset", offsetof(struct efi_boot_services, stall));
  field("return-address", (uint64_t)call_stall_return);
  end();
  call_stall(machine->boot_services, 1000);
  line("the call came back");
}

static void run_mmu_off(const struct machine *machine) {
  struct registers r;
  read_registers(&r);
  // Without the MMU data accesses bypass the caches: what they hold has to be in memory. The frames in use
  // lie within a page above the stack pointer.
  clean_to_memory(machine->image_base, machine->image_base + machine->image_size);
  clean_to_memory(r.sp - PAGE_SIZE, r.sp + PAGE_SIZE);
  uint64_t sctlr = r.sctlr & ~(SCTLR_M | SCTLR_C);
  if (current_el() == 1)
    write_sctlr_el1(sctlr);
  else
    write_sctlr_el2(sctlr);
  read_registers(&r);
  begin("later");
  print_registers(&r);
  end();
}

static void print_target(const char *what, const char *page, uint64_t target, struct leaf leaf) {
  begin(what);
  field("target", target);
  field_text("page", page);
  field("level", leaf.level);
}

// Pages of EfiBootServicesData are execute-never in a firmware with memory protection; device memory is in any.
static void run_exec_nx(const struct machine *machine) {
  uint64_t target = machine->data_page;
  const char *page = "EfiBootServicesData";
  struct leaf leaf = find_leaf(target);
  if (leaf.executable) {
    target = UART_BASE;
    page = "uart";
    leaf = find_leaf(target);
  }
  if (!leaf.mapped || leaf.executable) {
    line("cannot find an execute-never page");
    return;
  }
  print_target("execute", page, target, leaf);
  field("return-address", (uint64_t)call_address_return);
  end();
  call_address(target);
  line("the call came back");
}

// The first read-only page in RAM, or 0.
static uint64_t find_read_only(uint64_t ram_end) {
  for (uint64_t va = RAM_BASE; va < ram_end;) {
    struct leaf leaf = find_leaf(va);
    if (leaf.mapped && !leaf.writable) return va;
    va = (va | (span(leaf.level) - 1)) + 1;
  }
  return 0;
}

// This image's own code is read-only in a firmware that protects every image; the firmware's own code is in more.
static void run_write_ro(const struct machine *machine) {
  uint64_t target = (uint64_t)store_word_instruction & ~(PAGE_SIZE - 1);
  const char *page = "own-code";
  if (find_leaf(target).writable) {
    target = find_read_only(machine->ram_end);
    page = "first-in-ram";
  }
  if (!target) {
    line("cannot find a read-only page");
    return;
  }
  print_target("write", page, target, find_leaf(target));
  field("instruction", (uint64_t)store_word_instruction);
  end();
  store_word(target, 0);
  line("the write came back");
}

const struct mode modes[] = {
  { "clean", "leave boot services, at the second attempt, and idle", true, run_clean },
  { "boot-service", "leave, then call a boot service", false, run_boot_service },
  { "tables", "leave, then switch to translation tables of its own", false, run_tables },
  { "mmu-off", "leave, then turn the MMU off", false, run_mmu_off },
  { "exec-nx", "leave, then execute an execute-never page", false, run_exec_nx },
  { "write-ro", "leave, then write to a read-only page", false, run_write_ro },
};
const unsigned mode_count = sizeof modes / sizeof *modes;
