// A token's surprise is as far from the expected surprise as its logit from the expected logit: the locally typical
// tokens are those up to some distance from that. Of this distance only as much is found out as it takes to decide
// about a token, by what the tokens in some ranges weigh together; weights are beside the best token's.

#include "passing.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    GUESSED = 2,   // guesses about where the typical tokens end before the tokens around there are listed
    NARROWED = 8,  // the same where these are too many to be listed
    LISTED = 1024, // tokens on each side of the mean that are worth listing
};

static const double LOG2_E = 1.4426950408889634;
static const double FLAT = 64;          // weights together from which the best token is seldom typical
static const double MARGIN = 0.02;      // of a distance: so far on both sides of a guess its end probably is not
static const double ROUNDING = 1e-5;    // more than a logit can differ from the logarithm of its weight
static const float LEAST_TOP_P = 1e-6f; // what sums can tell from nothing; the best token always passes

// What the tokens weigh that are heavier than one, and the others that weigh the same.
struct heavier {
    double mass, equal;
    int is_known;
};

static inline float lower(float a, float b) { return a < b ? a : b; }
static inline float higher(float a, float b) { return a > b ? a : b; }
static inline float after(float number) { return nextafterf(number, INFINITY); }
static inline float before(float number) { return nextafterf(number, -INFINITY); }
static inline float up_to(double number) { return (float)number > number ? before((float)number) : (float)number; }
static inline float at_least_as(double number) { return (float)number < number ? after((float)number) : (float)number; }
static inline float weight_at(double score) { return (float)exp(fmin(score, 80)); }

static void sums_from(const struct search *s, const float *least_weights, int n_sums, double *sums) {
    at_least(s->weights, s->n, least_weights, n_sums, sums);
}

static void know(struct search *s, float weight) {
    if (weight <= s->most) return;
    s->most = weight;
    if (s->min_p > 0) s->low = higher(s->low, up_to(s->best + log(s->min_p * weight) - ROUNDING));
}

static void set_inner(struct search *s, const struct range *found) {
    if (found->distance <= s->inner.distance) return;
    s->inner = *found;
    if (found->high >= 1) know(s, 1); // the best token is in it
}

static void set_outer(struct search *s, const struct range *found) {
    if (found->distance >= s->outer.distance) return;
    s->outer = *found;
    s->ceiling = lower(s->ceiling, found->high);
    if (found->low > 0) s->low = higher(s->low, up_to(s->best + log(found->low) - ROUNDING));
    s->high = lower(s->high, at_least_as(s->best + log(found->high) + ROUNDING));
}

// Whether a token of this weight, above the mean, is or would be typical: the first one, of several.
static int ask_about(struct search *s, float weight) {
    const double distance = log(weight) - s->mean;
    const float thresholds[] = {after(weight_at(s->mean - distance)), weight};
    double sums[2];
    sums_from(s, thresholds, 2, sums);
    const double nearer = fmax(sums[0] - sums[1], 0);
    const struct range found = {distance, thresholds[0], before(weight), nearer, sums[1]};
    if (nearer > s->share)
        set_outer(s, &found);
    else if (found.low <= found.high)
        set_inner(s, &found);
    return nearer <= s->share;
}

// Find out whether the typical tokens end where they probably do.
static void guess(struct search *s) {
    double middle, margin;
    s->n_guessed++;
    if (s->outer.distance == INFINITY) {
        middle = fmax(s->inner.distance * 1.2, s->deviation);
        margin = MARGIN * middle;
    } else {
        const double start = fmax(s->inner.distance, 0), width = s->outer.distance - start;
        const double part = (s->share - s->inner.inside) / fmax(s->outer.inside - s->inner.inside, FLT_MIN);
        middle = start + fmin(fmax(part, 0.1), 0.9) * width;
        margin = MARGIN * width;
    }
    if (ask_about(s, weight_at(s->mean + middle - margin))) ask_about(s, weight_at(s->mean + middle + margin));
}

struct listed {
    float distance, weight;
    int64_t token;
};

static int by_distance(const void *one, const void *other) {
    const struct listed *a = one, *b = other;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

// The tokens of the outer range that are not in the inner one, by distance; -1: there are too many.
static int list_ring(const struct search *s, struct listed *ring) {
    const float lows[] = {s->outer.low, s->inner.distance < 0 ? INFINITY : after(s->inner.high)};
    const float highs[] = {s->inner.distance < 0 ? s->outer.high : before(s->inner.low), s->outer.high};
    int n_listed = 0;
    for (int side = 0; side < 2; side++) {
        int64_t ids[LISTED];
        const int64_t n = puna_between(s->weights, s->n, lows[side], highs[side], NULL, ids, LISTED);
        if (n > LISTED) return -1;
        for (int64_t i = 0; i < n; i++, n_listed++) {
            const float score = s->logits[ids[i]] - (float)s->best;
            ring[n_listed] = (struct listed){fabsf(score - (float)s->mean), s->weights[ids[i]], ids[i]};
        }
    }
    qsort(ring, (size_t)n_listed, sizeof *ring, by_distance);
    return n_listed;
}

// Find out where exactly the typical tokens end. Not, where tokens as far from the mean as the last one are not.
static int resolve(struct search *s) {
    struct listed ring[2 * LISTED];
    const int n = list_ring(s, ring);
    if (n < 0) return 0;
    struct range found = s->inner;
    int n_kept = 0;
    for (; n_kept < n && found.inside <= s->share; n_kept++) {
        found.inside += ring[n_kept].weight;
        found.low = lower(found.low, ring[n_kept].weight);
        found.high = higher(found.high, ring[n_kept].weight);
    }
    if (n_kept > 0 && n_kept < n && ring[n_kept - 1].distance == ring[n_kept].distance) return 0;
    found.above = s->outer.above;
    for (int i = n_kept; i < n; i++) found.above += ring[i].weight > found.high ? ring[i].weight : 0;
    if (n_kept > 0) found.distance = ring[n_kept - 1].distance;
    s->is_exact = 1;
    s->inner = found;
    s->outer.distance = INFINITY;
    set_outer(s, &found);
    if (found.high >= 1) know(s, 1);
    return 1;
}

// Bring the inner and the outer range nearer to each other. Not, where that is over.
static int approach(struct search *s) {
    if (s->is_exact || s->n_guessed >= NARROWED) return 0;
    if (s->n_guessed >= GUESSED && resolve(s)) return 1;
    guess(s);
    return 1;
}

// ---- typical_p

static enum verdict is_typical(struct search *s, int64_t token, struct heavier *heavier) {
    const float weight = s->weights[token], logit = s->logits[token];
    if (weight >= s->inner.low && weight <= s->inner.high) return PASSES;
    const double score = logit - s->best;
    int is_out = weight < s->outer.low || weight > s->outer.high;
    if (!is_out) {
        const float mirrored = weight_at(2 * s->mean - score), low = lower(weight, mirrored);
        const float high = higher(weight, mirrored), next = after(high);
        const float thresholds[] = {low, weight <= mirrored ? after(weight) : weight, next};
        double sums[3];
        sums_from(s, thresholds, 3, sums);
        const int is_low = weight <= mirrored;
        const double equal = is_low ? sums[0] - sums[1] : sums[1] - sums[2];
        const double nearer = is_low ? sums[1] - sums[2] : sums[0] - sums[1];
        const struct range found = {fabs(score - s->mean), low, high, nearer + equal, sums[2]};
        if (nearer + equal - weight <= s->share) {
            set_inner(s, &found);
            *heavier = (struct heavier){is_low ? sums[1] : sums[2], equal - weight, 1};
            return PASSES;
        }
        if (nearer <= s->share) return UNCLEAR; // of several tokens at this distance only the first ones are typical
        set_outer(s, &found);
        is_out = 1;
    }
    // No token that is as far from the mean is typical.
    if (score > s->mean)
        s->high = lower(s->high, before(logit));
    else
        s->low = higher(s->low, after(logit));
    return FAILS;
}

// ---- min_p, of which `limit` is the most that a typical token may weigh for one of this weight to pass

static int is_too_light(struct search *s, double limit) {
    if (limit < s->ceiling && !s->is_best_asked) { // mostly the best one is typical, and answers for all
        s->is_best_asked = 1;
        if (ask_about(s, 1)) know(s, 1);
    }
    return limit < s->most;
}

// Find out something about the tokens heavier than the limit, which are heavier than all of the inner range.
static int ask_above(struct search *s, double limit) {
    if (limit <= weight_at(s->mean)) return approach(s);
    float nearest = after(up_to(limit));
    int is_any = ask_about(s, nearest);
    if (is_any) {
        nearest = lightest(s->weights, s->n, nearest);
        is_any = nearest <= s->ceiling && ask_about(s, nearest);
    }
    if (is_any)
        know(s, nearest);
    else
        s->ceiling = lower(s->ceiling, up_to(limit));
    return 1;
}

static enum verdict is_heavy_enough(struct search *s, double limit) {
    while (!is_too_light(s, limit)) {
        if (limit >= s->ceiling || (s->is_exact && limit >= s->inner.high)) return PASSES;
        if (limit < s->inner.high) {
            const float thresholds[] = {after(up_to(limit)), after(s->inner.high)};
            double sums[2];
            sums_from(s, thresholds, 2, sums);
            if (sums[0] > sums[1]) {
                know(s, thresholds[0]);
                return FAILS;
            }
            limit = s->inner.high; // none is between
        } else if (!ask_above(s, limit)) {
            return UNCLEAR;
        }
    }
    return FAILS;
}

// ---- top_p

static int64_t count_equal(const float *weights, int64_t n, float weight) {
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) found += weights[i] == weight;
    return found;
}

// Whether the typical tokens that come before one weigh together less than a share of all typical ones.
static enum verdict is_among_best(struct search *s, int64_t token, struct heavier found) {
    const float weight = s->weights[token];
    if (!found.is_known) {
        const float thresholds[] = {weight, after(weight)};
        double sums[2];
        sums_from(s, thresholds, 2, sums);
        found = (struct heavier){sums[1], sums[0] - sums[1] - weight, 1};
    }
    do {
        if (found.mass + found.equal - s->outer.above < s->top_p * fmax(s->share, s->inner.inside)) return PASSES;
        if (found.mass - s->inner.above >= s->top_p * s->outer.inside) return FAILS;
    } while (approach(s));
    if (!s->is_exact) return UNCLEAR;
    const double limit = s->outer.above + s->top_p * s->inner.inside;
    if (found.equal < weight / 2 || found.mass >= limit) return found.mass < limit ? PASSES : FAILS;
    return found.mass + (double)count_equal(s->weights, token, weight) * weight < limit ? PASSES : FAILS;
}

enum verdict judge(struct search *s, int64_t token) {
    const double limit = s->min_p > 0 ? s->weights[token] / s->min_p : INFINITY;
    if (is_too_light(s, limit)) return FAILS;
    struct heavier heavier = {0, 0, 0};
    enum verdict verdict = is_typical(s, token, &heavier);
    if (verdict != PASSES) return verdict;
    verdict = is_heavy_enough(s, limit);
    if (verdict == PASSES && s->top_p < 1) verdict = is_among_best(s, token, heavier);
    if (verdict == FAILS) s->low = higher(s->low, s->logits[token]);
    return verdict;
}

struct search begin_search(const float *logits, int64_t n, float best, const struct filters *filters,
                           const float *weights, const struct totals *totals) {
    const double total = totals->weights, mean = totals->first / total / LOG2_E;
    struct search s = {
        .logits = logits, .weights = weights, .n = n, .best = best, .mean = mean, .share = total,
        .top_p = higher(filters->top_p, LEAST_TOP_P), .min_p = lower(filters->min_p, 1),
        .inner = {-1, INFINITY, 0, 0, total}, .outer = {INFINITY, 0, FLT_MAX, total, 0},
        .ceiling = 1, .is_best_asked = total > FLAT, .low = -FLT_MAX, .high = FLT_MAX,
    };
    if (filters->typical_p < 1) {
        const double variance = totals->second / total / (LOG2_E * LOG2_E) - mean * mean;
        s.deviation = sqrt(fmax(variance, 0)) * filters->deviations;
        s.share = filters->typical_p * total;
        if (s.min_p > 0 && total > FLAT) guess(&s);
    } else {
        s.inner = (struct range){INFINITY, 0, FLT_MAX, total, 0};
        s.is_exact = 1;
        if (s.min_p > 0) s.low = best + logf((float)s.min_p);
        s.min_p = 0;
    }
    return s;
}
