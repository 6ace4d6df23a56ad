// Passes over the logits of a whole vocabulary that numpy can only make one operation at a time. Plain loops, written
// so that a compiler makes vectors of them; models/sampling/passes.py calls some of them, and has checked what it
// passes. Sums are taken in single precision within a block and in double precision over the blocks.
//
// Flags: none that let sums be reordered (-fassociative-math takes the rounding below for nothing), or NaN and
// infinities lose their meaning; so no -ffast-math.

#include "passes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 // the first with these names
// One library for all processors: of each pass the loader picks the version that this one can run.
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define API __attribute__((visibility("default")))
#define PASS API CLONES
#define ALWAYS __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define AVX512 __attribute__((target("avx512f,avx512dq")))
#endif

enum {
    SUMMED = 2048, // weights that are summed in single precision
    COLUMNS = 32,
    ROWS = 16,
    TABLE = ROWS * COLUMNS,
};

static inline float larger(float a, float b) { return a > b ? a : b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// 2^t for t <= 0, within 2 units in the last place; 0 from -127 downwards.
static inline float power_of_2(float t) {
    t = larger(t, -127.0f);
    const float shifted = t + 12582912.0f; // 1.5 * 2^23: the nearest whole number is in the lowest bits
    const float rest = t - (shifted - 12582912.0f);
    float value = 1.326472731e-3f; // a polynomial for 2^rest, -0.5 to 0.5
    value = value * rest + 9.671512991e-3f;
    value = value * rest + 5.550733581e-2f;
    value = value * rest + 2.402224242e-1f;
    value = value * rest + 6.931470036e-1f;
    value = value * rest + 1.0f;
    uint32_t exponent, bits;
    memcpy(&exponent, &shifted, sizeof exponent);
    memcpy(&bits, &value, sizeof bits);
    bits += exponent << 23;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#ifdef AVX512
static inline int has_avx512(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"); }

// The same, in two thirds of the time; to the power of minus infinity it is 0, too.
AVX512 static inline __m512 power_of_2_avx512(__m512 t) {
    const __m512 rest = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF); // from 0 to 1
    __m512 value = _mm512_set1_ps(1.867130166e-3f);
    value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(9.017029777e-3f));
    value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(5.579991266e-2f));
    value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(2.401644439e-1f));
    value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(6.931512952e-1f));
    value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(value, t);
}
#endif

PASS float puna_best(const float *restrict logits, int64_t n, float *restrict maxima) {
    float best[COLUMNS];
    int32_t is_bad[COLUMNS] = {0};
    for (int i = 0; i < COLUMNS; i++) best[i] = -INFINITY;
    int64_t start = 0;
    for (; start + TABLE <= n; start += TABLE) {
        float most[COLUMNS];
        for (int i = 0; i < COLUMNS; i++) most[i] = -INFINITY;
        for (int row = 0; row < ROWS; row++)
            for (int i = 0; i < COLUMNS; i++) {
                const float logit = logits[start + row * COLUMNS + i];
                most[i] = larger(logit, most[i]);
                is_bad[i] |= !(logit <= FLT_MAX);
            }
        for (int i = 0; i < COLUMNS; i++) best[i] = larger(most[i], best[i]);
        if (maxima) memcpy(maxima + start / ROWS, most, sizeof most);
    }
    for (; start < n; start++) {
        best[0] = larger(logits[start], best[0]);
        is_bad[0] |= !(logits[start] <= FLT_MAX);
    }
    for (int i = 1; i < COLUMNS; i++) {
        best[0] = larger(best[i], best[0]);
        is_bad[0] |= is_bad[i];
    }
    return is_bad[0] ? NAN : best[0];
}

CLONES float best_up_to(const float *restrict logits, int64_t n, float high) {
    float best = -FLT_MAX;
#pragma omp simd reduction(max : best)
    for (int64_t i = 0; i < n; i++) best = larger(logits[i] <= high ? logits[i] : -FLT_MAX, best);
    return best;
}

// The loops below are written once for all combinations of what they compute: `what` is a constant where they are
// called.

static inline ALWAYS void add_weights(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                                      float *restrict weights, float *restrict totals) {
    const struct weighing w = *how;
    float sum = 0, other = 0, first = 0, second = 0;
#pragma omp simd reduction(+ : sum, other, first, second)
    for (int64_t i = 0; i < n; i++) {
        const float away = logits[i] - w.best, t = larger(away * w.scale, -127.0f), power = power_of_2(t);
        const float weight = !(what & RANGE) || ((logits[i] >= w.low) & (logits[i] <= w.high)) ? power : 0.0f;
        if (what & WEIGHTS) weights[i] = weight;
        sum += weight;
        if (what & OTHERS) other += power_of_2(away * w.other_scale);
        if (what & MOMENTS) first += weight * t;
        if (what & MOMENTS) second += weight * t * t;
    }
    totals[0] = sum;
    totals[1] = other;
    totals[2] = first;
    totals[3] = second;
}

#ifdef AVX512
struct sums_avx512 {
    __m512 sum, other, first, second;
};

AVX512 static inline ALWAYS __m512 add_avx512(__m512 logit, const struct weighing *w, int what,
                                              struct sums_avx512 *totals) {
    const __m512 away = _mm512_sub_ps(logit, _mm512_set1_ps(w->best));
    __m512 t = _mm512_mul_ps(away, _mm512_set1_ps(w->scale)), weight = power_of_2_avx512(t);
    if (what & RANGE) {
        __mmask16 is_in = _mm512_cmp_ps_mask(logit, _mm512_set1_ps(w->low), _CMP_GE_OQ);
        is_in = _mm512_mask_cmp_ps_mask(is_in, logit, _mm512_set1_ps(w->high), _CMP_LE_OQ);
        weight = _mm512_maskz_mov_ps(is_in, weight);
    }
    totals->sum = _mm512_add_ps(totals->sum, weight);
    if (what & OTHERS) {
        const __m512 other = power_of_2_avx512(_mm512_mul_ps(away, _mm512_set1_ps(w->other_scale)));
        totals->other = _mm512_add_ps(totals->other, other);
    }
    if (what & MOMENTS) {
        t = _mm512_max_ps(t, _mm512_set1_ps(-127.0f));
        const __m512 moment = _mm512_mul_ps(weight, t);
        totals->first = _mm512_add_ps(totals->first, moment);
        totals->second = _mm512_fmadd_ps(moment, t, totals->second);
    }
    return weight;
}

AVX512 static inline ALWAYS void weigh_block_avx512(const float *restrict logits, int64_t n, const struct weighing *w,
                                                    int what, float *restrict weights, struct sums_avx512 *totals) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 weight = add_avx512(_mm512_loadu_ps(logits + i), w, what, totals);
        if (what & WEIGHTS) _mm512_storeu_ps(weights + i, weight);
    }
    if (i == n) return;
    const __mmask16 left = (__mmask16)((1u << (n - i)) - 1);
    const __m512 logit = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), left, logits + i);
    const __m512 weight = add_avx512(logit, w, what, totals);
    if (what & WEIGHTS) _mm512_mask_storeu_ps(weights + i, left, weight);
}

AVX512 static inline ALWAYS void weigh_all_avx512(const float *restrict logits, int64_t n, const struct weighing *how,
                                                  int what, float *restrict weights, float *restrict sums,
                                                  float *restrict other_sums, struct totals *restrict totals) {
    const struct weighing w = *how;
    const __m512 zero = _mm512_setzero_ps();
    struct sums_avx512 of = {zero, zero, zero, zero};
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t block = start / BLOCK, size = least(BLOCK, n - start);
        of.sum = of.other = zero;
        weigh_block_avx512(logits + start, size, &w, what, what & WEIGHTS ? weights + start : NULL, &of);
        totals->weights += sums[block] = _mm512_reduce_add_ps(of.sum);
        if (what & OTHERS) totals->others += other_sums[block] = _mm512_reduce_add_ps(of.other);
        if ((what & MOMENTS) && (block % (SUMMED / BLOCK) == 0 || start + size == n)) {
            totals->first += _mm512_reduce_add_ps(of.first);
            totals->second += _mm512_reduce_add_ps(of.second);
            of.first = of.second = zero;
        }
    }
}
#endif

static inline ALWAYS void weigh_all(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                                    float *restrict weights, float *restrict sums, float *restrict other_sums,
                                    struct totals *restrict totals) {
    for (int64_t start = 0; start < n; start += BLOCK) {
        float of_block[4];
        float *into = what & WEIGHTS ? weights + start : NULL;
        const int64_t block = start / BLOCK, size = least(BLOCK, n - start);
        add_weights(logits + start, size, how, what, into, of_block);
        sums[block] = of_block[0];
        if (what & OTHERS) other_sums[block] = of_block[1];
        totals->weights += of_block[0];
        totals->others += of_block[1];
        totals->first += of_block[2];
        totals->second += of_block[3];
    }
}

// One copy of the loop for each combination that is asked for.
#define WEIGH(all, what) all(logits, n, how, what, weights, sums, other_sums, totals)
#define WEIGH_AS_ASKED(all)                                                                                            \
    switch (what) {                                                                                                    \
        case 0: WEIGH(all, 0); break;                                                                                  \
        case RANGE: WEIGH(all, RANGE); break;                                                                          \
        case WEIGHTS: WEIGH(all, WEIGHTS); break;                                                                      \
        case WEIGHTS | OTHERS: WEIGH(all, WEIGHTS | OTHERS); break;                                                    \
        case WEIGHTS | MOMENTS: WEIGH(all, WEIGHTS | MOMENTS); break;                                                  \
        case WEIGHTS | MOMENTS | OTHERS: WEIGH(all, WEIGHTS | MOMENTS | OTHERS); break;                                \
    }

#ifdef AVX512
AVX512 static void weigh_avx512(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                                float *restrict weights, float *restrict sums, float *restrict other_sums,
                                struct totals *restrict totals) {
    WEIGH_AS_ASKED(weigh_all_avx512)
}
#endif

CLONES static void weigh(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                         float *restrict weights, float *restrict sums, float *restrict other_sums,
                         struct totals *restrict totals) {
    WEIGH_AS_ASKED(weigh_all)
}

API void puna_weigh(const float *logits, int64_t n, const struct weighing *how, int what, float *weights, float *sums,
                    float *other_sums, struct totals *totals) {
    *totals = (struct totals){0};
#ifdef AVX512
    if (has_avx512()) {
        weigh_avx512(logits, n, how, what, weights, sums, other_sums, totals);
        return;
    }
#endif
    weigh(logits, n, how, what, weights, sums, other_sums, totals);
}

static inline float weight_within(float logit, const struct weighing *w) {
    const float weight = power_of_2((logit - w->best) * w->scale);
    return logit >= w->low && logit <= w->high ? weight : 0.0f;
}

// Sums that are less are left out of draws: of such weights some versions make 0 and some do not.
static const float FAINT = 1e-30f;

CLONES int64_t find(const float *restrict logits, int64_t n, const struct weighing *how, const float *restrict sums,
                    double target) {
    const struct weighing w = *how;
    int64_t found = -1, last = -1;
    double before = 0, within = 0;
    for (int64_t start = 0; start < n && (found < 0 || before < target); start += BLOCK)
        if (sums[start / BLOCK] > FAINT) {
            found = start;
            within = target - before;
            before += sums[start / BLOCK];
        }
    if (found < 0) return -1;
    const int64_t end = least(found + BLOCK, n);
    float weights[BLOCK];
    for (int64_t i = found; i < end; i++) weights[i - found] = weight_within(logits[i], &w);
    double running = 0;
    for (int64_t i = found; i < end && (last < 0 || running < within); i++)
        if (weights[i - found] > 0) {
            last = i;
            running += weights[i - found];
        }
    return last;
}

static inline ALWAYS void add_at_least(const float *restrict weights, int64_t n, const float *restrict least_weights,
                                       int n_sums, double *restrict sums) {
    const float a = least_weights[0], b = least_weights[1];
    const float c = n_sums > 2 ? least_weights[2] : 0, d = n_sums > 3 ? least_weights[3] : 0;
    float from_a = 0, from_b = 0, from_c = 0, from_d = 0;
#pragma omp simd reduction(+ : from_a, from_b, from_c, from_d)
    for (int64_t i = 0; i < n; i++) {
        const float weight = weights[i];
        from_a += weight >= a ? weight : 0.0f;
        from_b += weight >= b ? weight : 0.0f;
        if (n_sums > 2) from_c += weight >= c ? weight : 0.0f;
        if (n_sums > 3) from_d += weight >= d ? weight : 0.0f;
    }
    const float found[] = {from_a, from_b, from_c, from_d};
    for (int i = 0; i < n_sums; i++) sums[i] += found[i];
}

#ifdef AVX512
AVX512 static inline ALWAYS void add_16_at_least(__m512 weight, const __m512 *least_weight, int n_sums, __m512 *sum) {
    for (int k = 0; k < n_sums; k++)
        sum[k] = _mm512_mask_add_ps(sum[k], _mm512_cmp_ps_mask(weight, least_weight[k], _CMP_GE_OQ), sum[k], weight);
}

AVX512 static inline ALWAYS void add_at_least_avx512(const float *restrict weights, int64_t n,
                                                     const float *restrict least_weights, int n_sums,
                                                     double *restrict sums) {
    __m512 least_weight[4], even[4], odd[4]; // two sums, as an addition waits for the one before
    for (int k = 0; k < n_sums; k++) {
        least_weight[k] = _mm512_set1_ps(least_weights[k]);
        even[k] = odd[k] = _mm512_setzero_ps();
    }
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        add_16_at_least(_mm512_loadu_ps(weights + i), least_weight, n_sums, even);
        add_16_at_least(_mm512_loadu_ps(weights + i + 16), least_weight, n_sums, odd);
    }
    for (; i < n; i += 16) {
        const __mmask16 left = (__mmask16)(i + 16 <= n ? 0xffff : (1u << (n - i)) - 1);
        add_16_at_least(_mm512_maskz_loadu_ps(left, weights + i), least_weight, n_sums, even);
    }
    for (int k = 0; k < n_sums; k++) sums[k] += _mm512_reduce_add_ps(_mm512_add_ps(even[k], odd[k]));
}
#endif

#define ADD_AT_LEAST(add, n_sums)                                                                                      \
    for (int64_t start = 0; start < n; start += SUMMED)                                                                \
        add(weights + start, least(SUMMED, n - start), least_weights, n_sums, sums);

#define ADD_ALL_AT_LEAST(add)                                                                                          \
    switch (n_sums) {                                                                                                  \
        case 2: ADD_AT_LEAST(add, 2) break;                                                                            \
        case 3: ADD_AT_LEAST(add, 3) break;                                                                            \
        case 4: ADD_AT_LEAST(add, 4) break;                                                                            \
    }

#ifdef AVX512
AVX512 static void at_least_avx512(const float *restrict weights, int64_t n, const float *restrict least_weights,
                                   int n_sums, double *restrict sums) {
    ADD_ALL_AT_LEAST(add_at_least_avx512)
}
#endif

CLONES static void at_least_plain(const float *restrict weights, int64_t n, const float *restrict least_weights,
                                  int n_sums, double *restrict sums) {
    ADD_ALL_AT_LEAST(add_at_least)
}

void at_least(const float *restrict weights, int64_t n, const float *restrict least_weights, int n_sums,
              double *restrict sums) {
    for (int i = 0; i < n_sums; i++) sums[i] = 0;
#ifdef AVX512
    if (has_avx512()) {
        at_least_avx512(weights, n, least_weights, n_sums, sums);
        return;
    }
#endif
    at_least_plain(weights, n, least_weights, n_sums, sums);
}

CLONES float lightest(const float *restrict weights, int64_t n, float low) {
    float found = INFINITY;
#pragma omp simd reduction(min : found)
    for (int64_t i = 0; i < n; i++) {
        const float weight = weights[i] >= low ? weights[i] : INFINITY;
        found = weight < found ? weight : found;
    }
    return found;
}

static inline int64_t collect(const float *logits, int64_t start, int64_t end, int64_t step, float low, float high,
                              int64_t *ids, int64_t n_ids, int64_t capacity) {
    for (int64_t i = start; i < end; i += step)
        if (logits[i] >= low && logits[i] <= high) {
            if (n_ids == capacity) return capacity + 1;
            ids[n_ids++] = i;
        }
    return n_ids;
}

PASS int64_t puna_between(const float *restrict logits, int64_t n, float low, float high, const float *restrict maxima,
                          int64_t *restrict ids, int64_t capacity) {
    int64_t n_ids = 0, start = 0;
    for (; start + TABLE <= n; start += TABLE) {
        uint32_t is_hit[COLUMNS] = {0};
        if (maxima)
            for (int i = 0; i < COLUMNS; i++) is_hit[i] = maxima[start / ROWS + i] >= low;
        else
            for (int row = 0; row < ROWS; row++)
                for (int i = 0; i < COLUMNS; i++) {
                    const float logit = logits[start + row * COLUMNS + i];
                    is_hit[i] |= (logit >= low) & (logit <= high);
                }
        uint32_t is_any = 0;
        for (int i = 0; i < COLUMNS; i++) is_any |= is_hit[i];
        if (!is_any) continue;
        for (int i = 0; i < COLUMNS; i++)
            if (is_hit[i]) {
                n_ids = collect(logits, start + i, start + TABLE, COLUMNS, low, high, ids, n_ids, capacity);
                if (n_ids > capacity) return n_ids;
            }
    }
    return collect(logits, start, n, 1, low, high, ids, n_ids, capacity);
}
