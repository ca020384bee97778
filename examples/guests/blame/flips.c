// Mode `flips`: pages change their attributes by different functions and by different instructions.
#include "blame.h"

// In wide.S. Both return their return address, as they have no frame record.
uint64_t store_two(volatile uint64_t *at, uint64_t first, uint64_t second);
uint64_t store_vector(volatile uint64_t *at, const uint64_t *values);
extern const uint64_t store_two_instruction, store_vector_instruction;

SEPARATE static void write_same_value(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old);
  log_store(HERE(pc), "store", slot, old);
}

// A byte store: bits 55:48, where both execute-never bits are.
SEPARATE static void flip_execute_by_byte(const struct slot *slot) {
  uint64_t pc, old = *slot->at, byte = (old ^ execute_never()) >> 48 & 0xff;
  __asm__ volatile("adr %0, 0f\n0:\n\tstrb %w2, [%1, #6]" : "=&r"(pc) : "r"(slot->at), "r"(byte) : "memory");
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

// The access flag, bit 10.
SEPARATE static void clear_accessed(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old & ~DESC_ACCESSED);
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

// Without break-before-make, which a new memory type asks for (D8.16.1).
SEPARATE static void change_memory_type_at_once(const struct slot *slot) {
  uint64_t pc, old = *slot->at;
  STORE(pc, slot->at, old & ~DESC_ATTR_INDEX(7));
  log_store(HERE(pc), "store", slot, old);
  invalidate_page(slot->va);
}

SEPARATE static void protect_pair(const struct slot *first, const struct slot *second) {
  uint64_t old[2] = { *first->at, *second->at };
  uint64_t back = store_two(first->at, old[0] | DESC_READ_ONLY, old[1] | DESC_READ_ONLY);
  const struct deed *deed = LEAF("store_two", store_two_instruction, back);
  log_store(deed, "store", first, old[0]);
  log_same_store(deed, "store", second, old[1]);
  invalidate_page(first->va);
  invalidate_page(second->va);
}

SEPARATE static void flip_vector(const struct slot *first, const struct slot *second) {
  uint64_t old[2] = { *first->at, *second->at };
  uint64_t values[2] __attribute__((aligned(16))) = { old[0] ^ execute_never(), old[1] | DESC_READ_ONLY };
  uint64_t back = store_vector(first->at, values);
  const struct deed *deed = LEAF("store_vector", store_vector_instruction, back);
  log_store(deed, "store", first, old[0]);
  log_same_store(deed, "store", second, old[1]);
  invalidate_page(first->va);
  invalidate_page(second->va);
}

SEPARATE static void flip_once(void) {
  struct slot read_only = page_slot(0), executable = page_slot(1), device = page_slot(2), old = page_slot(3);
  make_read_only(&read_only);
  flip_execute(&executable);
  change_memory_type(&device);
  clear_accessed(&old);
}

SEPARATE static void flip_twice(void) {
  struct slot both = page_slot(4), back = page_slot(5), same = page_slot(6);
  make_read_only(&both);
  make_read_only(&back);
  flip_execute(&both);
  make_writable(&back);
  write_same_value(&same);
}

SEPARATE static void flip_by_other_instructions(void) {
  struct slot byte = page_slot(9);
  struct slot pair[2] = { page_slot(10), page_slot(11) }, vector[2] = { page_slot(12), page_slot(13) };
  flip_execute_by_byte(&byte);
  protect_pair(&pair[0], &pair[1]);
  flip_vector(&vector[0], &vector[1]);
}

SEPARATE void run_flips(const struct scene *scene) {
  (void)scene;
  struct slot at_once = page_slot(8);
  flip_once();
  flip_twice();
  change_memory_type_at_once(&at_once);
  flip_by_other_instructions();
}
