// Choosing a token of the whole vocabulary without listing those that can be chosen.
//
// A token is drawn, and then it is checked whether the filters let it pass. All of them keep a range of logits: a token
// that fails bounds the range that the next ones are drawn from. So each token that passes has the chance that it has
// among those that pass, and one that fails costs little.

#include "choose.h"
#include "passes.h"
#include "passing.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

enum {
    MISSED = 4, // draws outside of the range after which it is quicker to sum what is in it
    DRAWN = 48, // draws after which few tokens are left, or rounding leaves none in the range
};

static const double LOG2_E = 1.4426950408889634;

struct draws {
    const float *logits, *sums;
    int64_t n;
    struct weighing how;
    double total;
    uint64_t state;
    float low, high; // a token outside of this is drawn for nothing
    int n_missed, n_left;
};

// A number from 0 up to 1; the first one is the seed itself. Source of the others: splitmix64.
static double next_number(struct draws *d) {
    uint64_t z = d->state;
    d->state += 0x9e3779b97f4a7c15;
    if (d->n_left < DRAWN) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
    }
    return (double)z * 0x1p-64;
}

// Let draws be of the range only.
static void restrict_draws(struct draws *d, float *sums) {
    struct totals totals;
    d->how.low = d->low;
    d->how.high = d->high;
    // Beside the best token the others may weigh nothing at a low temperature.
    if (d->high < d->how.best) d->how.best = best_up_to(d->logits, d->n, d->high);
    puna_weigh(d->logits, d->n, &d->how, RANGE, NULL, sums, NULL, &totals);
    d->sums = sums;
    d->total = totals.weights;
}

// A token of the range; -1: none weighs enough, or too many were drawn.
static int64_t next_token(struct draws *d, float *sums) {
    while (d->n_left > 0) {
        const double target = next_number(d) * d->total;
        d->n_left--;
        const int64_t token = find(d->logits, d->n, &d->how, d->sums, target);
        if (token < 0 || (d->logits[token] >= d->low && d->logits[token] <= d->high)) return token;
        if (++d->n_missed % MISSED == 0) restrict_draws(d, sums);
    }
    return -1;
}

int64_t choose_of_all(const float *logits, int64_t n, const struct filters *filters, uint64_t seed,
                      const struct space *space) {
    const float scale = (float)(LOG2_E / filters->temperature), best = puna_best(logits, n, NULL);
    if (!(best >= -FLT_MAX && best <= FLT_MAX)) return NOT_A_NUMBER;
    struct draws draws = {
        .logits = logits, .n = n, .sums = space->sums, .state = seed, .low = -FLT_MAX, .high = FLT_MAX, .n_left = DRAWN,
        .how = {best, scale, scale, -FLT_MAX, FLT_MAX},
    };
    struct totals totals;
    if (filters->typical_p >= 1 && filters->top_p >= 1) {
        const int has_range = filters->min_p > 0;
        if (has_range) draws.how.low = best + logf(fminf(filters->min_p, 1));
        puna_weigh(logits, n, &draws.how, has_range ? RANGE : 0, NULL, space->sums, NULL, &totals);
        draws.total = totals.weights;
        const int64_t token = next_token(&draws, space->sums);
        return token < 0 ? NOT_FOUND : token;
    }
    const struct weighing how = {best, (float)LOG2_E, scale, -FLT_MAX, FLT_MAX};
    const int has_temperature = filters->temperature != 1;
    const int what = WEIGHTS | (filters->typical_p < 1 ? MOMENTS : 0) | (has_temperature ? OTHERS : 0);
    puna_weigh(logits, n, &how, what, space->weights, space->sums, space->other_sums, &totals);
    draws.sums = has_temperature ? space->other_sums : space->sums;
    draws.total = has_temperature ? totals.others : totals.weights;
    struct search s = begin_search(logits, n, best, filters, space->weights, &totals);
    for (;;) {
        draws.low = s.low;
        draws.high = s.high;
        const int64_t token = next_token(&draws, space->other_sums);
        if (token < 0) return NOT_FOUND;
        const enum verdict verdict = judge(&s, token);
        if (verdict == PASSES) return token;
        if (verdict == UNCLEAR) return UNDECIDED - token;
    }
}
