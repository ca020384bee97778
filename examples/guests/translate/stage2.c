// Stage 2, alone (stage 1 off) and below stage 1 (Arm ARM DDI 0487, D8.2, D8.4, D8.6).
//
// A "cell" is 64 KiB of intermediate physical addresses with one kind of stage 2 leaf, so that a stage 1 page of any
// granule fits in.
#include "guest.h"

#define CELLS UINT64_C(0x200000000)
#define CELL UINT64_C(0x10000)
#define BLOCKS (CELLS + UINT64_C(0x80000000))
#define NOWHERE (CELLS + UINT64_C(0x40000000)) // not mapped

// Cells by number
#define PERMISSIONS 0 // S2AP and XN
#define TYPES 16      // each MemAttr with each SH but the reserved ones
#define ODD 64
#define RUN 128 // 2 MiB: a contiguous run of 16 and 64 KiB pages, and 32 such runs of 4 KiB
#define RUN_CELLS 32

static const struct shape {
  const char *name;
  unsigned granule_bits, tsz;
  int start_level;
  enum format format;
  unsigned stage1_bits; // 0: stage 1 is off
  uint64_t hcr, vtcr;
  unsigned size; // VTCR_EL2.PS; 0: what the format can name
} shapes[] = {
    {"s12-4k", 12, 24, 1, PLAIN, 12, 0, 0, 0}, // two root tables in a row
    {"s12-16k", 14, 24, 2, PLAIN, 14, 0, 0, 0}, // sixteen
    {"s12-64k", 16, 18, 2, PLAIN, 16, 0, 0, 0}, // sixteen
    {"s12-4k-of-64k", 16, 16, 1, PLAIN, 12, 0, 0, 0},
    {"s12-64k-of-4k", 12, 16, 0, PLAIN, 16, 0, 0, 0},
    {"s12-fwb", 12, 25, 1, PLAIN, 12, HCR_FWB, 0, 0},
    {"s12-cache-disabled", 12, 25, 1, PLAIN, 12, HCR_CD, 0, 0},
    {"s12-protected-walk", 16, 25, 2, PLAIN, 12, HCR_PTW, 0, 0},
    {"s12-of-host", 12, 25, 1, PLAIN, 16, HCR_E2H, 0, 0},
    {"s12-lpa2-4k", 12, 12, -1, LPA2, 12, 0, 0, 0},
    {"s12-lpa2-16k", 14, 14, 1, LPA2, 12, 0, 0, 0}, // eight
    {"s12-lpa", 16, 12, 1, LPA, 12, 0, 0, 0},
    {"s2-4k", 12, 30, 2, PLAIN, 0, 0, 0, 0}, // sixteen
    {"s2-16k", 14, 17, 1, PLAIN, 0, 0, 0, 0},
    {"s2-64k", 16, 22, 2, PLAIN, 0, 0, 0, 0},
    {"s2-dirty-state", 12, 21, 1, PLAIN, 0, 0, VTCR_HA | VTCR_HD, 0},
    {"s2-output-40-bits", 12, 30, 2, PLAIN, 0, 0, 0, 2},
    {"s2-default-cacheable", 12, 21, 1, PLAIN, 0, HCR_DC, 0, 0},
    {"s2-fwb", 12, 25, 1, PLAIN, 0, HCR_FWB, 0, 0},
};
static const struct shape *shape;

// Stage 2 MemAttr: the defined values. Device, then NC, WT, WB in every pairing; with HCR_EL2.FWB Device, NC, WB, and
// stage 1's own.
static const uint8_t attributes[] = {0, 1, 2, 3, 5, 6, 7, 9, 0xa, 0xb, 0xd, 0xe, 0xf};
static const uint8_t forced_attributes[] = {0, 1, 2, 3, 5, 6, 7};
static bool forced(void) { return shape->hcr & HCR_FWB; }
static unsigned attribute_count(void) { return forced() ? sizeof forced_attributes : sizeof attributes; }
static uint64_t attribute(unsigned i) { return MEM_ATTR(forced() ? forced_attributes[i] : attributes[i]); }
static uint64_t normal(void) { return AF | SH_INNER | MEM_ATTR(forced() ? 6 : 0xf) | S2AP(3); }

static uint64_t cell(unsigned i) { return CELLS + i * CELL; }

static void fill_cell(struct space *s, unsigned i, uint64_t pa, uint64_t bits) {
  for (uint64_t at = 0; at < CELL; at += span(s, 3)) leaf(s, cell(i) + at, 3, pa + at, bits);
}

// What is no leaf, or a special one; `without` is taken out.
static void odd_cell(struct space *s, unsigned i, uint64_t bits, uint64_t without) {
  fill_cell(s, ODD + i, scratch_page(ODD + i, CELL), bits);
  for (uint64_t at = 0; at < CELL; at += span(s, 3)) *entry(s, cell(ODD + i) + at, 3) &= ~without;
}
#define ODD_CELLS 9

static void odd_cells(struct space *s) {
  odd_cell(s, 0, normal(), ~UINT64_C(0));
  odd_cell(s, 1, normal(), NOT_BLOCK);
  odd_cell(s, 2, normal(), VALID);
  odd_cell(s, 3, normal(), AF);
  odd_cell(s, 4, normal() | DBM, S2AP(2)); // clean
  odd_cell(s, 5, normal() | DBM, 0);
  odd_cell(s, 6, normal() | NG | UINT64_C(0xf) << 55, 0);
  odd_cell(s, 7, normal(), S2AP(3) | AF);
  odd_cell(s, 8, normal(), MEM_ATTR(0xf)); // Device
}

static void fill_cells(struct space *s) {
  unsigned bits = s->format == PLAIN ? 48 : 52;
  for (unsigned i = 0; i < 16; i++) {
    fill_cell(s, PERMISSIONS + i, scratch_page(i, CELL), (normal() & ~S2AP(3)) | S2AP(i & 3) | XN(i >> 2));
  }
  static const unsigned shareability[] = {0, 2, 3};
  for (unsigned i = 0; i < 3 * attribute_count(); i++) {
    uint64_t sh = SH(shareability[i / attribute_count()]), attr = attribute(i % attribute_count());
    fill_cell(s, TYPES + i, far_page(500 + i, CELL, bits), AF | S2AP(3) | attr | sh);
  }
  odd_cells(s);
  uint64_t run = far_page(600, RUN_CELLS * CELL, bits);
  for (unsigned i = 0; i < RUN_CELLS; i++) fill_cell(s, RUN + i, run + i * CELL, normal() | CONTIGUOUS);
}

static void fill_blocks(struct space *s) {
  unsigned bits = s->format == PLAIN ? 48 : 52;
  for (unsigned i = 0; i < 4; i++) {
    uint64_t common = AF | SH(i & 2) | attribute(attribute_count() - 1 - i);
    leaf(s, BLOCKS + i * span(s, 2), 2, far_page(610 + i, span(s, 2), bits), common | S2AP(i));
  }
}

static uint64_t level1_place(const struct space *s) { return span(s, 1) * (s->granule_bits == 12 ? 12 : 1); }

// A block where the granule has one, else a reserved descriptor.
static bool fill_level1(struct space *s) {
  if (s->start_level > 1 || level1_place(s) >> s->input_bits) return false;
  leaf(s, level1_place(s), 1, far_page(620, span(s, 1), s->format == PLAIN ? 48 : 52), normal());
  return true;
}

static struct space make_stage2(void) {
  struct space s = stage2_space(shape->granule_bits, shape->tsz, shape->start_level, shape->format);
  identity(&s, TABLES, MAPPED_END, normal());
  fill_cells(&s);
  fill_blocks(&s);
  return s;
}

static uint64_t vtcr(const struct space *s) {
  unsigned start = (unsigned)((s->granule_bits == 12 ? 2 : 3) - s->start_level);
  uint64_t sl = start == 3 && s->granule_bits == 12 ? VTCR_SL2 : (uint64_t)(start & 3) << 6;
  uint64_t size = shape->size ? shape->size : s->format == PLAIN ? 5 : 6;
  return VTCR_RES1 | (64 - s->input_bits) | sl | UINT64_C(0x35) << 8 |
         (uint64_t)tg0(s->granule_bits) << 14 | TCR_ONE_PS(size) | (s->format == LPA2 ? VTCR_DS : 0);
}

static void use_stage2(struct plan *p, const struct space *s) {
  p->name = shape->name;
  p->columns = shape->hcr & HCR_E2H ? nested_data_columns : nested_columns; // with E2H ESR_EL1 is out of reach here
  p->hcr = HCR_RW | HCR_VM | shape->hcr;
  p->vtcr = vtcr(s) | shape->vtcr;
  p->vttbr = s->root | UINT64_C(0x77) << 48;
  p->rebuild = shape->vtcr != 0;
}

// Stage 1 off, by SCTLR_EL1.M or HCR_EL2.DC: addresses are intermediate physical ones.
static void build_flat(struct plan *p) {
  struct space s = make_stage2();
  use_el1(p, 0, 0);
  if (!(shape->hcr & HCR_DC)) p->sctlr &= ~SCTLR_M;
  for (unsigned i = 0; i < 16; i++) probe_fetch(cell(PERMISSIONS + i) + 0xfab8);
  for (unsigned i = 0; i < 3 * attribute_count(); i++) probe(cell(TYPES + i) + 0x4321);
  for (unsigned i = 0; i < ODD_CELLS; i++) probe_fetch(cell(ODD + i) + 0x18);
  for (unsigned i = 0; i < RUN_CELLS; i += 7) probe(cell(RUN + i) + 0x3bc0);
  for (unsigned i = 0; i < 4; i++) probe(BLOCKS + i * span(&s, 2) + span(&s, 2) / 3 * 2);
  if (fill_level1(&s)) probe(level1_place(&s) + span(&s, 1) / 3);
  probe(NOWHERE);
  probe(BIT(s.input_bits) - 1);
  probe(BIT(s.input_bits));
  probe(BIT(47));
  probe(BIT(50));
  vectors_at = CALLS;
  use_stage2(p, &s);
}

static struct space *map_into;
static uint64_t next_page;

// One more stage 1 page that leads to an intermediate physical address; where its last 4 KiB are.
static uint64_t page_to(uint64_t ipa, uint64_t bits) {
  uint64_t va = next_page;
  next_page += span(map_into, 3);
  leaf(map_into, va, 3, ipa, AF | bits);
  return va + span(map_into, 3) - 0x1000 + 0xab8;
}

static void pages_to_cells(void) {
  for (unsigned i = 0; i < 64; i++) probe_fetch(page_to(cell(PERMISSIONS + i / 4), SH_INNER | AP(i & 3)));
  unsigned types = attribute_count();
  for (unsigned i = 0; i < 8 * types; i++) probe(page_to(cell(TYPES + i / 8), SH_INNER | ATTR_INDEX(i & 7)));
  for (unsigned i = 0; i < 3 * types; i++) probe(page_to(cell(TYPES + i), SH(i % 4 == 1 ? 3 : i % 4) | AP(1)));
  for (unsigned i = 0; i < ODD_CELLS; i++) probe_fetch(page_to(cell(ODD + i), AP(i & 3) | (i & 4 ? 0 : UXN)));
  for (unsigned i = 0; i < RUN_CELLS; i += 7) probe(page_to(cell(RUN + i), SH(2) | CONTIGUOUS));
  probe(page_to(NOWHERE, AP(1)));
  probe(page_to(BIT(47), AP(1))); // beyond some sizes of IPA
}

// Tables that stage 2 does not let the walk reach, or not as it must.
static void unreachable_tables(struct space *s, uint64_t at) {
  static const uint64_t tables[] = {NOWHERE, CELLS + PERMISSIONS * CELL, CELLS + (ODD + 3) * CELL, CELLS + ODD * CELL,
                                    CELLS + (ODD + 8) * CELL};
  for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++) {
    *entry(s, at + i * span(s, 2), 2) = tables[i] | NOT_BLOCK | VALID;
    probe(at + i * span(s, 2) + 0x123);
  }
}

static void build_nested(struct plan *p) {
  struct space s = make_stage2(), lower = lower_space(shape->stage1_bits, 16, PLAIN);
  struct space upper = lower; // its tables are not there at all
  upper.input_bits = 42;
  uint64_t at = gallery_place(&lower);
  map_into = &lower;
  next_page = at;
  pages_to_cells();
  for (unsigned i = 0; i < 4; i++) {
    leaf(&lower, at + (16 + i) * span(&lower, 2), 2, BLOCKS + i * (UINT64_C(1) << 29), AF | SH(i & 2) | AP(i));
    probe(at + (16 + i) * span(&lower, 2) + span(&lower, 2) / 3 * 2);
  }
  unreachable_tables(&lower, at + 32 * span(&lower, 2));
  uint64_t calls = at + 40 * span(&lower, 2);
  leaf(&lower, calls, 3, CALLS, AF | SH_INNER | AP(2));
  vectors_at = calls;
  probe(at + 48 * span(&lower, 2)); // not mapped by stage 1
  probe(-UINT64_C(0x1000));
  use_el1(p, &lower, &upper);
  p->ttbr1 = NOWHERE;
  use_stage2(p, &s);
}

static bool offered(const struct shape *s) {
  if (!has_granule(s->granule_bits) || 64 - s->tsz > physical_bits()) return false;
  if (s->format == LPA2 && !has_lpa2(s->granule_bits)) return false;
  if (s->format == LPA && !has_lpa()) return false;
  return !(s->hcr & HCR_FWB) || has_forced_write_back();
}

void examine_stage2(void) {
  for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    shape = shapes + i;
    if (offered(shape)) examine(shape->stage1_bits ? build_nested : build_flat);
  }
}
