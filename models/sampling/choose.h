// Choosing a token of a row of logits by the usual filters: what models/sampling/passes.py asks for.

#pragma once

#include <stdint.h>

// What is returned instead of a token.
enum {
    NOT_A_NUMBER = -1, // the best logit is none
    NOT_FOUND = -2,    // the caller has to list the tokens that pass
    UNDECIDED = -3,    // and less: of a token, this minus the result, it is open whether it passes
};

// typical_p and top_p do nothing from 1 on, min_p and k at 0.
struct filters {
    int64_t k; // at most 1,024
    float temperature, typical_p, top_p, min_p;
    float deviations; // within how many standard deviations a share of typical_p of a normal distribution is
};

// Where to write: a weight for each token, two sums for each block of them, and what `puna_best` finds of groups.
struct space {
    float *weights, *sums, *other_sums, *maxima;
};

// One of the k most likely tokens. `u`: a number from 0 to 1.
int64_t choose_of_best(const float *logits, int64_t n, const struct filters *filters, double u, float *maxima);

// One of all tokens; the temperature is above 0. `seed`: 64 random bits.
int64_t choose_of_all(const float *logits, int64_t n, const struct filters *filters, uint64_t seed,
                      const struct space *space);
