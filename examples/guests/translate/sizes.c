// TCR_EL1.T0SZ and T1SZ over their range, and with them every starting level and size of root (Arm ARM DDI 0487, D8.2).
#include "guest.h"

static const struct {
  uint8_t lower_bits, lower_tsz, upper_bits, upper_tsz;
} sizes[] = {
    {12, 16, 12, 24}, {12, 17, 14, 17}, {12, 20, 16, 21}, {12, 25, 14, 16}, {12, 28, 16, 34}, {12, 33, 14, 27},
    {12, 34, 12, 39}, {14, 20, 16, 22}, {14, 28, 12, 18}, {14, 29, 12, 35}, {14, 38, 16, 35}, {14, 39, 12, 26},
    {16, 16, 14, 31}, {16, 25, 12, 38}, {16, 39, 14, 36},
};
// FEAT_TTST: down to 16 bits, 17 with 64 KiB.
static const typeof(sizes[0]) small_sizes[] = {
    {12, 40, 14, 40}, {12, 42, 14, 48}, {12, 43, 16, 40}, {12, 48, 16, 47}, {14, 47, 12, 46}, {16, 42, 12, 47},
};
static typeof(&sizes[0]) size;

static void put_digits(char **at, unsigned value) {
  if (value >= 10) *(*at)++ = (char)('0' + value / 10);
  *(*at)++ = (char)('0' + value % 10);
}

static const char *name_of_size(void) {
  static char name[40];
  char *at = name;
  for (const char *c = "size-"; *c; c++) *at++ = *c;
  put_digits(&at, 1u << (size->lower_bits - 10));
  *at++ = 'k', *at++ = '.';
  put_digits(&at, size->lower_tsz);
  *at++ = '-';
  put_digits(&at, 1u << (size->upper_bits - 10));
  *at++ = 'k', *at++ = '.';
  put_digits(&at, size->upper_tsz);
  *at = 0;
  return name;
}

// The first page, the last, one between, and what lies beyond each.
static void corners(struct space *s, unsigned i) {
  uint64_t length = BIT(s->input_bits), page = span(s, 3), middle = (length / 3 + page) & ~(page - 1);
  uint64_t at[] = {0, length - page, middle};
  for (unsigned n = 0; n < 3; n++) {
    leaf(s, s->base + at[n], 3, far_page(i + n, page, 48), AF | SH_INNER | ATTR_INDEX(n) | AP(n));
    probe(s->base + at[n]);
    probe(s->base + at[n] + page - 8);
    probe(s->base + at[n] + page); // not mapped, or out of range
    probe(s->base + at[n] - page);
  }
  probe(s->base + length / 2 + 3 * page);
  probe(s->base ^ BIT(63));
  probe(s->base ^ BIT(55));
}

static void build_size(struct plan *p) {
  struct space lower = lower_space(size->lower_bits, size->lower_tsz, PLAIN);
  struct space upper = upper_space(size->upper_bits, size->upper_tsz, PLAIN);
  corners(&lower, 400);
  corners(&upper, 410);
  use_el1(p, &lower, &upper);
  p->columns = el1_data_columns;
  p->name = name_of_size();
}

static void examine_all(typeof(&sizes[0]) list, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    size = list + i;
    if (has_granule(size->lower_bits) && has_granule(size->upper_bits)) examine(build_size);
  }
}

void examine_sizes(void) {
  examine_all(sizes, sizeof sizes / sizeof *sizes);
  if (has_small_tables()) examine_all(small_sizes, sizeof small_sizes / sizeof *small_sizes);
}
