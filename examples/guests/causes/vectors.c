// Modes in which the exception is what goes wrong: nobody can take it, and the CPU takes exceptions for ever.
#include "causes.h"

#define VECTORS_SIZE UINT64_C(0x800)

// The address a synchronous exception from the same Exception level, using SP_ELx, is taken to (D1.3.1.5).
#define SAME_LEVEL_SYNCHRONOUS UINT64_C(0x200)

static void print_vectors(const char *what, uint64_t vbar) {
  begin(what);
  field("vbar", vbar);
  field("vector", vbar + SAME_LEVEL_SYNCHRONOUS);
}

static void print_read(uint64_t target) {
  begin("read");
  field("target", target);
  field("level", find_leaf(target).level);
  field("instruction", read_unmapped_instruction);
  end();
}

// Zeroes are the instruction UDF #0.
static __attribute__((noinline)) void overwrite_vectors(uint64_t vbar) {
  for (uint64_t at = vbar; at < vbar + VECTORS_SIZE; at += sizeof(uint64_t)) {
    *(volatile uint64_t *)at = 0;
    publish_instruction((const void *)at);
  }
}

// The page is writable only meanwhile, so that what is wrong afterwards is its contents.
void run_vectors_reused(const struct scene *scene) {
  (void)scene;
  uint64_t vbar = read_vbar();
  struct entry entry = find_entry(vbar);
  uint64_t old = *entry.at;
  print_vectors("overwrite", vbar);
  field("size", VECTORS_SIZE);
  field("word", 0);
  field("was-writable", find_leaf(vbar).writable);
  end();
  if (!find_leaf(vbar).writable && !make_writable(vbar)) {
    line("cannot make the vectors writable");
    return;
  }
  begin("break");
  field("instruction", take_breakpoint_instruction);
  end();
  overwrite_vectors(vbar);
  if (!change_entry(entry, old)) return;
  take_breakpoint();
  line("the exception came back");
}

void run_vbar_unmapped(const struct scene *scene) {
  uint64_t hole = find_hole(scene->ram_end);
  uint64_t vbar = hole + 0x42800, target = hole + 0x1238;
  print_vectors("vectors", vbar);
  field("old", read_vbar());
  end();
  print_read(target);
  write_vbar(vbar);
  read_unmapped(target);
  line("the read came back");
}

// edk2 reports it all the same: its handler has a stack of its own, SP_EL0.
void run_stack_unmapped(const struct scene *scene) {
  uint64_t sp = find_hole(scene->ram_end) + 0x80000;
  begin("push");
  field("sp", sp);
  field("target", sp - 16);
  field("level", find_leaf(sp - 16).level);
  field("instruction", push_on_unmapped_stack_instruction);
  end();
  push_on_unmapped_stack(sp);
  line("the push came back");
}
