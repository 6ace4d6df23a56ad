// Whether a token passes the filters, asked of the few that were drawn.

#pragma once

#include "choose.h"
#include "passes.h"

// Tokens by their weights, up to a distance from the mean; what they weigh together, and what is above them.
struct range {
    double distance;
    float low, high;
    double inside, above;
};

struct search {
    const float *logits, *weights;
    int64_t n;
    double best, mean, deviation; // of logits, and of these beside the best one
    double share;                 // of all weights, that the typical tokens have at least
    double top_p, min_p;
    struct range inner; // all tokens of it are typical
    struct range outer; // all typical tokens are in it; nothing is between the two where is_exact
    float most;         // a typical token weighs at least so much
    float ceiling;      // no typical token weighs more
    int is_exact, is_best_asked, n_guessed;
    float low, high; // all tokens that pass have such logits
};

enum verdict { FAILS, PASSES, UNCLEAR };

// `weights`: of all tokens, beside the best one's; `totals`: theirs, with moments where typical_p is asked for.
struct search begin_search(const float *logits, int64_t n, float best, const struct filters *filters,
                           const float *weights, const struct totals *totals);

// Whether a token passes; if not, the range of logits of those that do may have become smaller.
enum verdict judge(struct search *s, int64_t token);
