// The passes over the logits or the weights of a vocabulary that other files are built of. Each is made for the
// processor that it runs on (passes.c).

#pragma once

#include <stdint.h>

// Weights of which a draw knows the sum.
enum { BLOCK = 512 };

// What `weigh` computes beside the sums of weights by block: OTHERS at a second scale, RANGE only of some logits.
enum { WEIGHTS = 1, MOMENTS = 2, OTHERS = 4, RANGE = 8 };

// A weight is e^((logit - best) * scale), computed as a power of 2: at most 1, and 0 for minus infinity.
struct weighing {
    float best, scale, other_scale, low, high;
};

// Sums of weights, of those at the other scale, and of weight * t and weight * t^2 for a weight 2^t.
struct totals {
    double weights, others, first, second;
};

// The highest logit; NaN where one of them is NaN or plus infinity. `maxima`, unless NULL: the highest of each column
// of each table of 16 x 32 logits; what is left over has none.
float puna_best(const float *logits, int64_t n, float *maxima);

// The highest logit up to `high`; -FLT_MAX where there is none.
float best_up_to(const float *logits, int64_t n, float high);

// What of WEIGHTS, MOMENTS, OTHERS and RANGE is asked for, and in any case the sums of the weights by block.
void puna_weigh(const float *logits, int64_t n, const struct weighing *how, int what, float *weights, float *sums,
                float *other_sums, struct totals *totals);

// The token at which the running sum of these weights, whose sums by block are known, reaches `target`; where rounding
// keeps it from being reached, the last one that has a weight. -1: all are too light.
int64_t find(const float *logits, int64_t n, const struct weighing *how, const float *sums, double target);

// For each of 2, 3 or 4 weights the sum of those that are at least as great.
void at_least(const float *weights, int64_t n, const float *least_weights, int n_sums, double *sums);

// The least weight from `low` on; infinity where there is none.
float lightest(const float *weights, int64_t n, float low);

// The tokens whose values are from `low` to `high`, in no order, and how many there are; `capacity` + 1 where there are
// more than that. With `maxima` of these values, only columns that reach `low` are looked at.
int64_t puna_between(const float *values, int64_t n, float low, float high, const float *maxima, int64_t *ids,
                     int64_t capacity);
