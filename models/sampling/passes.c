// Passes over the logits of a whole vocabulary that numpy can only make one operation at a time. Plain loops, written so
// that a compiler makes vectors of them; models/sampling/passes.py declares and calls them, and has checked what it passes.
//
// A weight is e^((logit - best) * scale), computed as a power of 2: at most 1, and 0 for minus infinity. Sums are taken
// in single precision within a block and in double precision over the blocks.
//
// The flags may let sums be reordered (-fassociative-math), but NaN and infinities must keep their meaning: no
// -ffinite-math-only, and so no -ffast-math.

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && defined(__GLIBC__)
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
    BLOCK = 512, // whose weights are summed in single precision
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

// The highest logit; NaN where one of them is NaN or plus infinity. `maxima`, unless NULL: the highest of each column of
// each table of ROWS x COLUMNS logits; what is left over has none.
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

// The loops below are written once for all combinations of what they compute: `has_...` are constants where they are
// called. Totals are of the weights, of those at the other scale, and of weight * t and weight * t^2 for a weight 2^t.
enum { WEIGHTS = 1, MOMENTS = 2, OTHERS = 4, RANGE = 8 };

struct weighing {
    float best, scale, other_scale, low, high;
};

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
AVX512 static inline ALWAYS void add_weights_avx512(const float *restrict logits, int64_t n, const struct weighing *w,
                                                    int what, float *restrict weights, float *restrict totals) {
    const __m512 best = _mm512_set1_ps(w->best), scale = _mm512_set1_ps(w->scale);
    const __m512 other_scale = _mm512_set1_ps(w->other_scale), lowest = _mm512_set1_ps(-127.0f);
    const __m512 low = _mm512_set1_ps(w->low), high = _mm512_set1_ps(w->high);
    __m512 sum = _mm512_setzero_ps(), other = sum, first = sum, second = sum;
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 there = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : (__mmask16)-1;
        const __m512 logit = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), there, logits + i);
        const __m512 away = _mm512_sub_ps(logit, best), t = _mm512_mul_ps(away, scale);
        __m512 weight = power_of_2_avx512(t);
        if (what & RANGE) {
            const __mmask16 is_low = _mm512_cmp_ps_mask(logit, low, _CMP_LT_OQ);
            weight = _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(~is_low, logit, high, _CMP_LE_OQ), weight);
        }
        if (what & WEIGHTS) _mm512_mask_storeu_ps(weights + i, there, weight);
        sum = _mm512_add_ps(sum, weight);
        if (what & OTHERS) other = _mm512_add_ps(other, power_of_2_avx512(_mm512_mul_ps(away, other_scale)));
        if (what & MOMENTS) {
            const __m512 one = _mm512_mul_ps(weight, _mm512_max_ps(t, lowest));
            first = _mm512_add_ps(first, one);
            second = _mm512_fmadd_ps(one, _mm512_max_ps(t, lowest), second);
        }
    }
    totals[0] = _mm512_reduce_add_ps(sum);
    if (what & OTHERS) totals[1] = _mm512_reduce_add_ps(other);
    if (what & MOMENTS) totals[2] = _mm512_reduce_add_ps(first);
    if (what & MOMENTS) totals[3] = _mm512_reduce_add_ps(second);
}
#endif

#define FOR_EACH_BLOCK(add, what)                                                                                      \
    for (int64_t start = 0; start < n; start += BLOCK) {                                                               \
        float of_block[4] = {0};                                                                                           \
        add(logits + start, least(BLOCK, n - start), how, what, (what) & WEIGHTS ? weights + start : NULL, of_block);  \
        sums[start / BLOCK] = of_block[0];                                                                             \
        if ((what) & OTHERS) other_sums[start / BLOCK] = of_block[1];                                                  \
        for (int i = 0; i < ((what) & MOMENTS ? 4 : (what) & OTHERS ? 2 : 1); i++) totals[i] += of_block[i];           \
    }

#define FOR_ALL(add)                                                                                                   \
    switch (what) {                                                                                                    \
        case 0: FOR_EACH_BLOCK(add, 0) break;                                                                          \
        case RANGE: FOR_EACH_BLOCK(add, RANGE) break;                                                                  \
        case WEIGHTS: FOR_EACH_BLOCK(add, WEIGHTS) break;                                                              \
        case WEIGHTS | OTHERS: FOR_EACH_BLOCK(add, WEIGHTS | OTHERS) break;                                            \
        case WEIGHTS | MOMENTS: FOR_EACH_BLOCK(add, WEIGHTS | MOMENTS) break;                                          \
        case WEIGHTS | MOMENTS | OTHERS: FOR_EACH_BLOCK(add, WEIGHTS | MOMENTS | OTHERS) break;                        \
    }

#ifdef AVX512
AVX512 static void weigh_avx512(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                                float *restrict weights, float *restrict sums, float *restrict other_sums,
                                double *restrict totals) {
    FOR_ALL(add_weights_avx512)
}
#endif

CLONES static void weigh(const float *restrict logits, int64_t n, const struct weighing *how, int what,
                         float *restrict weights, float *restrict sums, float *restrict other_sums,
                         double *restrict totals) {
    FOR_ALL(add_weights)
}

API void puna_weigh(const float *logits, int64_t n, const struct weighing *how, int what, float *weights, float *sums,
                    float *other_sums, double *totals) {
    for (int i = 0; i < 4; i++) totals[i] = 0;
#ifdef AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
        weigh_avx512(logits, n, how, what, weights, sums, other_sums, totals);
        return;
    }
#endif
    weigh(logits, n, how, what, weights, sums, other_sums, totals);
}

static inline float weight_within(float logit, const struct weighing *w) {
    const float weight = power_of_2((logit - w->best) * w->scale);
    return (logit >= w->low) & (logit <= w->high) ? weight : 0.0f;
}

// The token at which the running sum of these weights, whose sums by block are known, reaches `target`; where rounding
// keeps it from being reached, the last one that has a weight. -1: none has one.
PASS int64_t puna_find(const float *restrict logits, int64_t n, const struct weighing *how,
                       const float *restrict sums, double target) {
    const struct weighing w = *how;
    int64_t found = -1, last = -1;
    double before = 0, within = 0;
    for (int64_t start = 0; start < n && before < target; start += BLOCK)
        if (sums[start / BLOCK] > 0) {
            found = start;
            within = target - before;
            before += sums[start / BLOCK];
        }
    if (found < 0) return -1;
    const int64_t end = least(found + BLOCK, n);
    float weights[BLOCK];
    for (int64_t i = found; i < end; i++) weights[i - found] = weight_within(logits[i], &w);
    double running = 0;
    for (int64_t i = found; i < end && running < within; i++)
        if (weights[i - found] > 0) {
            last = i;
            running += weights[i - found];
        }
    return last;
}

static inline float if_within(float weight, float low, float high) {
    return (weight >= low) & (weight <= high) ? weight : 0.0f;
}

static inline float if_above(float weight, float high) { return weight > high ? weight : 0.0f; }

// The sum of the weights from `low` to `high`; in `above` of those beyond.
PASS double puna_mass(const float *restrict weights, int64_t n, float low, float high, double *restrict above) {
    double inside = 0, beyond = 0;
    for (int64_t start = 0; start < n; start += 2 * BLOCK) {
        const float *one = weights + start;
        const int64_t half = least(2 * BLOCK, n - start) / 2;
        const float *other = one + half; // two sums, so that one does not wait for the other
        float in = 0, in_other = 0, out = 0, out_other = 0;
#pragma omp simd reduction(+ : in, in_other, out, out_other)
        for (int64_t i = 0; i < half; i++) {
            in += if_within(one[i], low, high);
            in_other += if_within(other[i], low, high);
            out += if_above(one[i], high);
            out_other += if_above(other[i], high);
        }
        inside += in + in_other;
        beyond += out + out_other;
    }
    if (n % 2) inside += if_within(weights[n - 1], low, high);
    if (n % 2) beyond += if_above(weights[n - 1], high);
    *above = beyond;
    return inside;
}

// For two ranges, one within the other: the sums of the weights inside and above the first, then of the second; last
// the greatest weight inside the first.
PASS void puna_masses(const float *restrict weights, int64_t n, const float *restrict ranges, double *restrict found) {
    const float low = ranges[0], high = ranges[1], lower = ranges[2], higher = ranges[3];
    double totals[4] = {0};
    float most = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t end = least(start + BLOCK, n);
        float in = 0, out = 0, in_wider = 0, out_wider = 0;
#pragma omp simd reduction(+ : in, out, in_wider, out_wider) reduction(max : most)
        for (int64_t i = start; i < end; i++) {
            const float inside = if_within(weights[i], low, high);
            in += inside;
            most = larger(inside, most);
            out += if_above(weights[i], high);
            in_wider += if_within(weights[i], lower, higher);
            out_wider += if_above(weights[i], higher);
        }
        totals[0] += in;
        totals[1] += out;
        totals[2] += in_wider;
        totals[3] += out_wider;
    }
    memcpy(found, totals, sizeof totals);
    found[4] = most;
}

static inline int64_t collect(const float *logits, int64_t start, int64_t end, int64_t step, float low, float high,
                              int64_t *ids, int64_t n_ids, int64_t capacity) {
    for (int64_t i = start; i < end; i += step)
        if (logits[i] >= low && logits[i] <= high) {
            if (n_ids < capacity) ids[n_ids] = i;
            n_ids++;
        }
    return n_ids;
}

// The tokens whose logits are from `low` to `high`, in no order, and how many there are; no more than `capacity` are
// written. With `maxima` of these logits, only columns that reach `low` are looked at.
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
        for (int i = 0; i < COLUMNS; i++)
            if (is_hit[i]) n_ids = collect(logits, start + i, start + TABLE, COLUMNS, low, high, ids, n_ids, capacity);
    }
    return collect(logits, start, n, 1, low, high, ids, n_ids, capacity);
}
