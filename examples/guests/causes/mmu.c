// Turning the MMU off.
#include "causes.h"

// The code is mapped one to one, so it goes on at the same address. One statement: no access to memory comes in between.
static void write_sctlr(uint64_t value) {
  if (current_el() == 1)
    __asm__ volatile("dsb sy\n\tmsr sctlr_el1, %0\n\tisb\n\ttlbi vmalle1\n\tdsb sy\n\tisb" ::"r"(value) : "memory");
  else
    __asm__ volatile("dsb sy\n\tmsr sctlr_el2, %0\n\tisb\n\ttlbi alle2\n\tdsb sy\n\tisb" ::"r"(value) : "memory");
}

// Without the MMU data accesses bypass the caches: what they hold has to be in memory. The frames in use lie within a
// page of the stack pointer.
void turn_mmu_off(const struct scene *scene) {
  struct registers r;
  read_registers(&r);
  uint64_t off = r.sctlr & ~(SCTLR_M | SCTLR_C);
  begin("mmu-off");
  field("sctlr-before", r.sctlr);
  field("sctlr-after", off);
  end();
  clean_to_memory(scene->image_base, scene->image_base + scene->image_size);
  clean_to_memory(r.sp - PAGE_SIZE, r.sp + PAGE_SIZE);
  write_sctlr(off);
}
