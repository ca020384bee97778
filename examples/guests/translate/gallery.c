// What there is to see in a stage 1 tree: every kind of leaf and table that VMSAv8-64 has (Arm ARM DDI 0487, D8.3 to
// D8.5). A level 3 table for each kind.
#include "guest.h"

uint64_t vectors_at;

uint64_t scratch_page(unsigned i, uint64_t size) {
  uint64_t pages = (SCRATCH_END - SCRATCH) / size;
  return SCRATCH + i % pages * size;
}

uint64_t far_page(unsigned i, uint64_t size, unsigned bits) {
  uint64_t mixed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
  mixed ^= mixed >> 29;
  return mixed & (BIT(bits) - 1) & ~(size - 1);
}

static unsigned output_bits(const struct space *s) { return s->format == PLAIN ? 48 : 52; }

static uint64_t far_leaf(const struct space *s, unsigned i, int level) {
  return far_page(i, span(s, level), output_bits(s));
}

// Somewhere inside the entry, in its last 4 KiB: the bits of the address below the granule must come through.
static uint64_t inside(const struct space *s, uint64_t va, int level) { return va + span(s, level) - 0x1000 + 0xab8; }

#define PLAIN_PAGE (AF | SH_INNER | ATTR_INDEX(0))

static void scratch_leaf(struct space *s, uint64_t va, unsigned i, uint64_t bits) {
  leaf(s, va, 3, scratch_page(i, span(s, 3)), bits);
  probe_fetch(inside(s, va, 3));
}

// AP[2:1] with PXN and UXN.
static void permissions(struct space *s, uint64_t va) {
  for (unsigned i = 0; i < 16; i++) {
    uint64_t bits = AP(i & 3) | (i & 4 ? PXN : 0) | (i & 8 ? UXN : 0) | (i & 1 ? NG : 0);
    scratch_leaf(s, va + i * span(s, 3), i, PLAIN_PAGE | bits);
  }
}

// Each of the eight memory attributes with each shareability.
static void types(struct space *s, uint64_t va) {
  for (unsigned i = 0; i < 32; i++) {
    uint64_t page = va + i * span(s, 3);
    leaf(s, page, 3, far_leaf(s, i, 3), AF | ATTR_INDEX(i & 7) | SH(i >> 3));
    probe(inside(s, page, 3));
  }
}

// Below a table descriptor with each of APTable, UXNTable and PXNTable: AP[2:1], and PXN and UXN once.
static void hierarchy(struct space *s, uint64_t va, uint64_t table_bits, unsigned scratch) {
  static const uint64_t below[] = {AP(0), AP(1), AP(2), AP(3), AP(1) | PXN, AP(3) | UXN};
  uint64_t above = s->table_bits;
  s->table_bits = table_bits;
  for (unsigned i = 0; i < sizeof below / sizeof *below; i++) {
    scratch_leaf(s, va + i * span(s, 3), scratch + i, PLAIN_PAGE | below[i]);
  }
  s->table_bits = above;
}

static void hierarchies(struct space *s, uint64_t va) {
  for (unsigned i = 0; i < 16; i++) hierarchy(s, va + i * span(s, 2), (uint64_t)i << 59, 16 + 6 * i);
}

// A leaf that is as ordinary as can be in all but `bits`; those in `without` are taken out.
static void odd(struct space *s, uint64_t va, unsigned i, uint64_t bits, uint64_t without) {
  uint64_t page = va + i * span(s, 3);
  scratch_leaf(s, page, 120 + i, PLAIN_PAGE | bits);
  *entry(s, page, 3) &= ~without;
}

static void oddities(struct space *s, uint64_t va) {
  odd(s, va, 0, 0, ~UINT64_C(0));               // nothing
  odd(s, va, 1, 0, VALID);                      // a page but for bit 0
  odd(s, va, 2, 0, NOT_BLOCK);                  // a block at level 3 is reserved
  odd(s, va, 3, AP(1), AF);                     // not accessed yet
  odd(s, va, 4, AP(3), AF);                     // nor this one, which is read-only
  odd(s, va, 5, AP(2) | DBM, 0);                // clean, if dirty state is managed
  odd(s, va, 6, AP(3) | DBM, 0);
  odd(s, va, 7, AP(1) | DBM, 0);                // dirty
  odd(s, va, 8, AP(3) | DBM, AF);               // neither accessed nor dirty
  odd(s, va, 9, GP, 0);                         // guarded
  odd(s, va, 10, NG | NS, 0);
  odd(s, va, 11, AP(2) | UINT64_C(0xf) << 55, 0); // bits for software
  odd(s, va, 12, AP(0) | DBM | CONTIGUOUS, 0);
}

// What EL1 may execute and nobody write, whatever the configuration: its vectors.
static void vectors(struct space *s, uint64_t va) {
  leaf(s, va, 3, CALLS & ~(span(s, 3) - 1), PLAIN_PAGE | AP(2) | UXN);
  vectors_at = va + (CALLS & (span(s, 3) - 1));
}

// Entries of a contiguous run (D8.7): 16; 128 and 32; 32.
static unsigned run_length(const struct space *s, int level) {
  if (s->granule_bits == 12) return 16;
  return s->granule_bits == 14 && level == 3 ? 128 : 32;
}

static void contiguous_run(struct space *s, uint64_t va, int level) {
  unsigned count = run_length(s, level);
  uint64_t start = far_page(200 + (unsigned)level, span(s, level) * count, output_bits(s));
  for (unsigned i = 0; i < count; i++) {
    uint64_t at = va + i * span(s, level);
    leaf(s, at, level, start + i * span(s, level), AF | SH(2) | ATTR_INDEX(1) | AP(i & 1) | CONTIGUOUS);
    if (i < 2 || i == count / 2 || i == count - 1) probe(inside(s, at, level));
  }
}

// Blocks, or what looks like one at a level that has none.
static void blocks(struct space *s, uint64_t va, int level) {
  for (unsigned i = 0; i < 8; i++) {
    uint64_t at = va + i * span(s, level);
    leaf(s, at, level, far_leaf(s, 300 + i, level), AF | SH(i & 2) | ATTR_INDEX(i) | AP(i & 3) | (i & 4 ? NG : 0));
    probe(inside(s, at, level));
    probe(at + span(s, level) / 3 * 2);
  }
  leaf(s, va + 8 * span(s, level), level, far_leaf(s, 310, level), ATTR_INDEX(0) | AP(1)); // AF = 0
  probe(va + 8 * span(s, level) + 0x5678);
  probe(va + 9 * span(s, level)); // invalid
}

// Hierarchical attributes from two levels.
static void two_hierarchies(struct space *s, uint64_t va) {
  static const uint64_t upper[] = {AP_TABLE(1), AP_TABLE(2), PXN_TABLE, 0};
  static const uint64_t lower[] = {AP_TABLE(2), UXN_TABLE, UXN_TABLE | AP_TABLE(1), AP_TABLE(1) | PXN_TABLE};
  for (unsigned i = 0; i < 4; i++) {
    uint64_t at = va + i * span(s, 1);
    s->table_bits = upper[i];
    entry(s, at, 2);
    hierarchy(s, at, lower[i], 140 + 6 * i);
    s->table_bits = 0;
  }
}

static void upper_levels(struct space *s, uint64_t at) {
  two_hierarchies(s, at + 2 * span(s, 1));
  for (unsigned i = 0; i < 2; i++) {
    uint64_t block = at + (6 + i) * span(s, 1);
    leaf(s, block, 1, far_leaf(s, 320 + i, 1), AF | SH_INNER | ATTR_INDEX(5 * i) | AP(1 + i));
    probe(inside(s, block, 1));
  }
  probe(at + 8 * span(s, 1));
  if (s->start_level > 0) return;
  uint64_t top = s->base + BIT(s->input_bits) - span(s, 0);
  leaf(s, top, 0, far_leaf(s, 330, 0), AF | SH_INNER | ATTR_INDEX(0) | AP(3));
  probe(inside(s, top, 0));
  if (s->input_bits > 48 || s->granule_bits == 12) probe(top - 0x1000);
}

uint64_t gallery_place(const struct space *s) {
  return s->base + (s->granule_bits == 12 ? 16 : 1) * span(s, 1);
}

void gallery(struct space *s, uint64_t at) {
  permissions(s, at);
  types(s, at + span(s, 2));
  oddities(s, at + 2 * span(s, 2));
  vectors(s, at + 3 * span(s, 2));
  contiguous_run(s, at + 4 * span(s, 2), 3);
  hierarchies(s, at + 8 * span(s, 2));
  contiguous_run(s, at + 32 * span(s, 2), 2);
  blocks(s, at + 64 * span(s, 2), 2);
  if (s->start_level <= 1) upper_levels(s, at);
  probe(s->base);
  probe(s->base + BIT(s->input_bits) - 1);
  probe(s->base + BIT(s->input_bits)); // one beyond, or 0
  probe(s->base - 1);
}
