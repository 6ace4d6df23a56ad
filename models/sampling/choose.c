#include "choose.h"

// A token of those that the filters leave, by its chance, or one of the numbers below 0. `bits`: 64 random ones, of
// which the first random number is made.
__attribute__((visibility("default"))) int64_t puna_choose(const float *logits, int64_t n,
                                                           const struct filters *filters, uint64_t bits,
                                                           const struct space *space) {
    if (filters->k > 0) return choose_of_best(logits, n, filters, (double)bits * 0x1p-64, space->maxima);
    return choose_of_all(logits, n, filters, bits, space);
}
