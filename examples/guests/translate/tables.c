// Building translation tables: VMSAv8-64 descriptors of any granule (Arm ARM DDI 0487, D8.2 and D8.3).
#include "guest.h"

static uint64_t next_table = TABLES;

void forget_tables(void) { next_table = TABLES; }

// What lies beside a small table must not matter: it is full of page descriptors that lead nowhere.
#define POISON UINT64_C(0x0000dead0000077f)

static void fill(uint64_t from, uint64_t size, uint64_t value) {
  for (uint64_t at = from; at < from + size; at += 8) *(volatile uint64_t *)at = value;
}

// A table full of zeros; one that is smaller than a page lies inside a page, not at its start.
uint64_t new_table(uint64_t size, uint64_t alignment) {
  if (size < 4096) {
    uint64_t page = new_table(4096, 4096), table = page + (alignment < 2048 ? 3 * alignment % 4096 : 2048);
    fill(page, 4096, POISON);
    fill(table, size, 0);
    return table;
  }
  uint64_t table = (next_table + alignment - 1) & ~(alignment - 1);
  next_table = table + size;
  if (next_table > TABLES_END) {
    put_text("no room for tables\r\n");
    for (;;) __asm__ volatile("wfi");
  }
  fill(table, size, 0);
  return table;
}

static unsigned shift(const struct space *s, int level) {
  return s->granule_bits + (unsigned)(3 - level) * (s->granule_bits - 3);
}

uint64_t span(const struct space *s, int level) { return BIT(shift(s, level)); }

static void new_root(struct space *s) {
  unsigned top = shift(s, s->start_level);
  uint64_t size = s->input_bits > top ? UINT64_C(8) << (s->input_bits - top) : 8;
  s->root = new_table(size, size < 64 ? 64 : size);
}

static struct space stage1_space(unsigned granule_bits, unsigned tsz, enum format format, bool upper) {
  unsigned input_bits = 64 - tsz, stride = granule_bits - 3;
  unsigned levels = (input_bits - granule_bits + stride - 1) / stride;
  struct space s = {granule_bits, input_bits, 4 - (int)levels, format, upper ? -BIT(input_bits) : 0, 0, 0};
  new_root(&s);
  return s;
}

struct space lower_space(unsigned granule_bits, unsigned tsz, enum format format) {
  return stage1_space(granule_bits, tsz, format, false);
}

struct space upper_space(unsigned granule_bits, unsigned tsz, enum format format) {
  return stage1_space(granule_bits, tsz, format, true);
}

// Stage 2 says itself where it starts; its root may be up to 16 tables in a row.
struct space stage2_space(unsigned granule_bits, unsigned tsz, int start_level, enum format format) {
  struct space s = {granule_bits, 64 - tsz, start_level, format, 0, 0, 0};
  new_root(&s);
  return s;
}

uint64_t output(const struct space *s, uint64_t pa) {
  if (s->format == LPA) return (pa & (BIT(48) - BIT(16))) | FIELD(pa, 48, 4) << 12;
  if (s->format == LPA2) return (pa & (BIT(50) - BIT(12))) | FIELD(pa, 50, 2) << 8;
  return pa & (BIT(48) - BIT(12));
}

static uint64_t input(const struct space *s, uint64_t descriptor) {
  if (s->format == LPA) return (descriptor & (BIT(48) - BIT(16))) | FIELD(descriptor, 12, 4) << 48;
  if (s->format == LPA2) return (descriptor & (BIT(50) - BIT(12))) | FIELD(descriptor, 8, 2) << 50;
  return descriptor & (BIT(48) - BIT(12));
}

uint64_t *entry(struct space *s, uint64_t address, int level) {
  uint64_t table = s->root, offset = address - s->base;
  for (int at = s->start_level;; at++) {
    uint64_t index = offset >> shift(s, at);
    if (at > s->start_level) index &= BIT(s->granule_bits - 3) - 1;
    uint64_t *e = (uint64_t *)table + index;
    if (at == level) return e;
    if (!(*e & VALID)) {
      uint64_t size = BIT(s->granule_bits);
      *e = output(s, new_table(size, size)) | s->table_bits | NOT_BLOCK | VALID;
    }
    table = input(s, *e);
  }
}

void leaf(struct space *s, uint64_t address, int level, uint64_t pa, uint64_t bits) {
  if (s->format == LPA2) bits &= ~SH(3); // there the shareability of TCR or VTCR counts
  *entry(s, address, level) = output(s, pa) | bits | (level == 3 ? NOT_BLOCK : 0) | VALID;
}

void identity(struct space *s, uint64_t from, uint64_t to, uint64_t bits) {
  for (uint64_t at = from & ~(span(s, 2) - 1); at < to; at += span(s, 2)) leaf(s, at, 2, at, bits);
}

void swap_tables(void) {
  for (uint64_t at = TABLES; at < next_table; at += 8) {
    volatile uint64_t *e = (volatile uint64_t *)at;
    *e = __builtin_bswap64(*e);
  }
}
