// Choosing among the k most likely tokens by llama.cpp's filters, in its order, and with its sums: one after the other
// in single precision. The same as models/sampling/chain.py does, and shortlist.py before it, which take several times
// as long where the caches are cold, as they are after a decode.

#include "choose.h"
#include "passes.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { LISTED = 2048 };

struct candidate {
    float logit, prob, distance;
    int64_t token;
};

struct candidates {
    struct candidate of[LISTED];
    int n, is_sorted;
};

static int by_logit(const void *one, const void *other) {
    const struct candidate *a = one, *b = other;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->token < b->token ? -1 : 1;
}

static int by_distance(const void *one, const void *other) {
    const struct candidate *a = one, *b = other;
    return a->distance == b->distance ? by_logit(one, other) : a->distance < b->distance ? -1 : 1;
}

static void sort(struct candidates *c) {
    if (!c->is_sorted) qsort(c->of, (size_t)c->n, sizeof *c->of, by_logit);
    c->is_sorted = 1;
}

// The k-th best of some logits; `heap`: room for k, of which the first is the least.
static float kth_best(const float *logits, int64_t n, int64_t k, float *heap) {
    for (int64_t filled = 0; filled < k; filled++) {
        int64_t at = filled;
        for (; at > 0 && heap[(at - 1) / 2] > logits[filled]; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = logits[filled];
    }
    for (int64_t i = k; i < n; i++) {
        if (logits[i] <= heap[0]) continue;
        int64_t at = 0;
        for (int64_t child = 1; child < k; child = 2 * at + 1) {
            child += child + 1 < k && heap[child + 1] < heap[child];
            if (heap[child] >= logits[i]) break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = logits[i];
    }
    return heap[0];
}

// The k most likely tokens. Each of the best of some groups is as likely as it: the k-th of these is no better than the
// k-th of all.
static int list_best(const float *logits, int64_t n, int64_t k, const float *maxima, struct candidates *c) {
    float heap[LISTED];
    int64_t ids[LISTED];
    const int64_t n_maxima = n / 512 * 32;
    k = k < n ? k : n;
    const float least = 2 * k <= n_maxima ? kth_best(maxima, n_maxima, k, heap) : kth_best(logits, n, k, heap);
    const int64_t n_found = puna_between(logits, n, fmaxf(least, -FLT_MAX), FLT_MAX, maxima, ids, LISTED);
    if (n_found > LISTED) return 0;
    for (int64_t i = 0; i < n_found; i++) c->of[i] = (struct candidate){logits[ids[i]], 0, 0, ids[i]};
    c->n = (int)n_found;
    c->is_sorted = 0;
    sort(c);
    if (c->n > k) c->n = (int)k;
    return 1;
}

static void find_probs(struct candidates *c) { // of sorted ones
    float sum = 0;
    for (int i = 0; i < c->n; i++) sum += c->of[i].prob = expf(c->of[i].logit - c->of[0].logit);
    for (int i = 0; i < c->n; i++) c->of[i].prob /= sum;
}

// Leaves those whose surprise is nearest to the expected surprise, up to a probability of p.
static void keep_typical(struct candidates *c, float p) {
    find_probs(c);
    while (c->of[c->n - 1].prob == 0) c->n--;
    float expected = 0, running = 0;
    for (int i = 0; i < c->n; i++) expected += c->of[i].prob * -logf(c->of[i].prob);
    for (int i = 0; i < c->n; i++) c->of[i].distance = fabsf(-logf(c->of[i].prob) - expected);
    qsort(c->of, (size_t)c->n, sizeof *c->of, by_distance);
    c->is_sorted = 0;
    for (int i = 0; i < c->n; i++)
        if ((running += c->of[i].prob) > p) c->n = i + 1;
}

// Leaves the most likely ones that together have a probability of at least p.
static void keep_top(struct candidates *c, float p) {
    sort(c);
    find_probs(c);
    float running = 0;
    for (int i = 0; i < c->n; i++)
        if ((running += c->of[i].prob) >= p) c->n = i + 1;
}

static float best_logit(const struct candidates *c) {
    float best = c->of[0].logit;
    for (int i = 1; i < c->n; i++) best = fmaxf(best, c->of[i].logit);
    return best;
}

// Leaves those at least p times as likely as the most likely one.
static void keep_likely(struct candidates *c, float p) {
    const float least = best_logit(c) + logf(fminf(p, 1));
    int n = 0;
    for (int i = 0; i < c->n; i++)
        if (c->of[i].logit >= least) c->of[n++] = c->of[i];
    c->n = n;
}

// The token at the point u (0 to 1) of the distribution; temperature 0: the most likely.
static int64_t draw(const struct candidates *c, float temperature, double u) {
    const float best = best_logit(c);
    float weights[LISTED];
    double total = 0, running = 0;
    for (int i = 0; i < c->n; i++) {
        if (temperature <= 0 && c->of[i].logit == best) return c->of[i].token;
        total += weights[i] = expf((c->of[i].logit - best) / temperature);
    }
    for (int i = 0; i < c->n; i++)
        if ((running += weights[i]) >= u * total) return c->of[i].token;
    return c->of[c->n - 1].token;
}

int64_t choose_of_best(const float *logits, int64_t n, const struct filters *filters, double u, float *maxima) {
    const float best = puna_best(logits, n, maxima);
    struct candidates c;
    if (!(best >= -FLT_MAX && best <= FLT_MAX)) return NOT_A_NUMBER;
    if (!list_best(logits, n, filters->k, maxima, &c)) return NOT_FOUND; // too many are as good as the last one
    if (filters->typical_p < 1) keep_typical(&c, filters->typical_p);
    if (filters->top_p < 1) keep_top(&c, filters->top_p);
    if (filters->min_p > 0) keep_likely(&c, filters->min_p);
    return draw(&c, filters->temperature, u);
}
