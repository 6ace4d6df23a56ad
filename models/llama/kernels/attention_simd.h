// The inner loops of attention, for the widest vectors that this file is compiled for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "vec.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#define PUNA_ATTENTION_WIDTH 16
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PUNA_ATTENTION_WIDTH 8
#endif

#ifdef PUNA_ATTENTION_WIDTH

#define PUNA_UNROLL _Pragma("GCC unroll 8")
#define PUNA_INLINE inline __attribute__((always_inline))

namespace puna::attention {

constexpr uint16_t kMinusInfinityF16 = 0xfc00;

// A vector of F32, `width` numbers, and how large a block of products its registers hold: `rows` × `columns` sums, and
// `dot_rows` × 4 sums beside what they are made of.
#if PUNA_ATTENTION_WIDTH == 16

struct Vector {
    using Numbers = __m512;
    static constexpr int width = 16, rows = 4, columns = 4, dot_rows = 4;

    static PUNA_INLINE Numbers zero() { return _mm512_setzero_ps(); }
    static PUNA_INLINE Numbers all(float x) { return _mm512_set1_ps(x); }
    static PUNA_INLINE Numbers load(const float * x) { return _mm512_loadu_ps(x); }
    static PUNA_INLINE Numbers load(const ggml_fp16_t * x) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(x)));
    }
    static PUNA_INLINE void store(float * to, Numbers x) { _mm512_storeu_ps(to, x); }
    static PUNA_INLINE Numbers add(Numbers a, Numbers b) { return _mm512_add_ps(a, b); }
    static PUNA_INLINE Numbers subtract(Numbers a, Numbers b) { return _mm512_sub_ps(a, b); }
    static PUNA_INLINE Numbers multiply(Numbers a, Numbers b) { return _mm512_mul_ps(a, b); }
    static PUNA_INLINE Numbers divide(Numbers a, Numbers b) { return _mm512_div_ps(a, b); }
    static PUNA_INLINE Numbers multiply_add(Numbers a, Numbers b, Numbers sum) { return _mm512_fmadd_ps(a, b, sum); }
    static PUNA_INLINE Numbers larger(Numbers a, Numbers b) { return _mm512_max_ps(a, b); }
    static PUNA_INLINE float sum(Numbers x) { return _mm512_reduce_add_ps(x); }
    static PUNA_INLINE float largest(Numbers x) { return _mm512_reduce_max_ps(x); }
    static PUNA_INLINE Numbers finite_or_zero(Numbers x) {  // zero for -inf
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ), x);
    }
    static PUNA_INLINE __m128 sums(Numbers a, Numbers b, Numbers c, Numbers d) {
        const Numbers ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        const Numbers cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        const Numbers low = _mm512_shuffle_ps(ab, cd, 0x44), high = _mm512_shuffle_ps(ab, cd, 0xee);
        const Numbers x = add(low, high);
        const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
        return _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    }
    // One bit for each of 32 numbers that are not `value`.
    static PUNA_INLINE uint32_t others(const ggml_fp16_t * x, uint16_t value) {
        return _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(x), _mm512_set1_epi16(static_cast<short>(value)));
    }
};

#else

struct Vector {
    using Numbers = __m256;
    static constexpr int width = 8, rows = 6, columns = 2, dot_rows = 3;

    static PUNA_INLINE Numbers zero() { return _mm256_setzero_ps(); }
    static PUNA_INLINE Numbers all(float x) { return _mm256_set1_ps(x); }
    static PUNA_INLINE Numbers load(const float * x) { return _mm256_loadu_ps(x); }
    static PUNA_INLINE Numbers load(const ggml_fp16_t * x) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(x)));
    }
    static PUNA_INLINE void store(float * to, Numbers x) { _mm256_storeu_ps(to, x); }
    static PUNA_INLINE Numbers add(Numbers a, Numbers b) { return _mm256_add_ps(a, b); }
    static PUNA_INLINE Numbers subtract(Numbers a, Numbers b) { return _mm256_sub_ps(a, b); }
    static PUNA_INLINE Numbers multiply(Numbers a, Numbers b) { return _mm256_mul_ps(a, b); }
    static PUNA_INLINE Numbers divide(Numbers a, Numbers b) { return _mm256_div_ps(a, b); }
    static PUNA_INLINE Numbers multiply_add(Numbers a, Numbers b, Numbers sum) { return _mm256_fmadd_ps(a, b, sum); }
    static PUNA_INLINE Numbers larger(Numbers a, Numbers b) { return _mm256_max_ps(a, b); }
    static PUNA_INLINE float sum(Numbers x) {
        __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        y = _mm_add_ps(y, _mm_movehl_ps(y, y));
        return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
    }
    static PUNA_INLINE float largest(Numbers x) {
        __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        y = _mm_max_ps(y, _mm_movehl_ps(y, y));
        return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
    }
    static PUNA_INLINE Numbers finite_or_zero(Numbers x) {  // zero for -inf
        return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(-INFINITY), _CMP_NEQ_UQ), x);
    }
    static PUNA_INLINE __m128 sums(Numbers a, Numbers b, Numbers c, Numbers d) {
        const Numbers ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        const Numbers cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        const Numbers x = add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
        return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    }
    // One bit for each of 32 numbers that are not `value`.
    static PUNA_INLINE uint32_t others(const ggml_fp16_t * x, uint16_t value) {
        const __m256i wanted = _mm256_set1_epi16(static_cast<short>(value));
        const __m256i * halves = reinterpret_cast<const __m256i *>(x);
        const __m256i low = _mm256_cmpeq_epi16(_mm256_loadu_si256(halves), wanted);
        const __m256i high = _mm256_cmpeq_epi16(_mm256_loadu_si256(halves + 1), wanted);
        const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
        return ~static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
    }
};

#endif

using Numbers = Vector::Numbers;

// What is used several times: GCC reads it from memory each time, and then more loads than products fit a cycle.
PUNA_INLINE Numbers in_register(Numbers x) {
    __asm__("" : "+v"(x));
    return x;
}

// A matrix of factors, each of which is multiplied with a whole row of the other matrix. Strides in numbers.
struct Factors {
    const float * at;
    size_t row_stride, step_stride;
};

// `n` as a constant: what is called with it has one copy for each number up to `Most`.
template <int Most, class Do>
PUNA_INLINE void with_constant(int n, Do what) {
    if constexpr (Most > 0) {
        if (n == Most) {
            what(std::integral_constant<int, Most>());
        } else {
            with_constant<Most - 1>(n, what);
        }
    }
}

// R × (C vectors) of: out = keep × out + Σ over steps of factor × row(step). Without `keep`, `out` is overwritten.
template <int R, int C, class Row>
PUNA_INLINE void multiply_block(float * out, size_t out_stride, Factors factors, int n_steps, Row row,
                                const float * keep) {
    Numbers sums[R][C];
    PUNA_UNROLL for (int r = 0; r < R; r++) {
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            const float * before = out + r * out_stride + c * Vector::width;
            sums[r][c] = keep ? Vector::multiply(Vector::all(keep[r]), Vector::load(before)) : Vector::zero();
        }
    }
    for (int step = 0; step < n_steps; step++) {
        const auto * from = row(step);
        Numbers values[C];
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            values[c] = in_register(Vector::load(from + c * Vector::width));
        }
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            const Numbers factor = Vector::all(factors.at[r * factors.row_stride + step * factors.step_stride]);
            PUNA_UNROLL for (int c = 0; c < C; c++) {
                sums[r][c] = Vector::multiply_add(factor, values[c], sums[r][c]);
            }
        }
    }
    PUNA_UNROLL for (int r = 0; r < R; r++) {
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            Vector::store(out + r * out_stride + c * Vector::width, sums[r][c]);
        }
    }
}

// All columns of R rows. A function of its own: within a larger one, GCC 12 keeps some of the sums in memory.
template <int R, class Row>
__attribute__((noinline)) void multiply_rows(float * out, size_t out_stride, int n_columns, Factors factors,
                                             int n_steps, Row row, const float * keep) {
    for (int c = 0; c < n_columns; c += Vector::columns * Vector::width) {
        with_constant<Vector::columns>(std::min((n_columns - c) / Vector::width, Vector::columns), [&](auto count) {
            multiply_block<R, count()>(out + c, out_stride, factors, n_steps, [=](int i) { return row(i) + c; }, keep);
        });
    }
}

// out = keep × out + factors × the matrix of `row`s. `n_columns`: a multiple of the vectors' width.
template <class Row>
PUNA_INLINE void multiply(float * out, size_t out_stride, int n_rows, int n_columns, Factors factors, int n_steps,
                          Row row, const float * keep) {
    for (int r = 0; r < n_rows; r += Vector::rows) {
        const Factors from{factors.at + r * factors.row_stride, factors.row_stride, factors.step_stride};
        with_constant<Vector::rows>(std::min(n_rows - r, Vector::rows), [&](auto count) {
            multiply_rows<count()>(out + r * out_stride, out_stride, n_columns, from, n_steps, row,
                                   keep ? keep + r : nullptr);
        });
    }
}

// Rows of F16 that lie `stride` bytes apart, K or V of one head.
struct CacheRows {
    const char * at;
    size_t stride;

    PUNA_INLINE const ggml_fp16_t * operator[](int cell) const {
        return reinterpret_cast<const ggml_fp16_t *>(at + cell * stride);
    }
    PUNA_INLINE void prefetch(int cell, int n_numbers) const {
        const char * row = at + cell * stride;
        for (size_t i = 0; i < n_numbers * sizeof(ggml_fp16_t); i += 64) _mm_prefetch(row + i, _MM_HINT_T0);
    }
};

// How many cells ahead keys and values are fetched: another 64 are computed meanwhile. Attention of 8 sequences, whose
// cache is in main memory, so takes 0.8 of the time.
constexpr int kCellsAhead = 64;

// R rows of queries times the keys in `cells`, a multiple of 8 of them: scores[r][i], `score_stride` numbers a row.
// With n_embd_v, cells further on are fetched too; behind the cache's end, which fetches nothing and does not fail.
template <int R>
inline void score_rows(const float * queries, size_t query_stride, CacheRows keys, int n_embd, const int32_t * cells,
                       int n_cells, float scale, float * scores, size_t score_stride, CacheRows values,
                       int n_embd_v) {
    constexpr int C = R == 1 ? 8 : 4;  // a sum waits four cycles for the one before: eight at once, at least
    for (int first = 0; first < n_cells; first += C) {
        Numbers sums[R][C];
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            PUNA_UNROLL for (int c = 0; c < C; c++) sums[r][c] = Vector::zero();
        }
        for (int c = 0; c < C && n_embd_v; c++) {
            values.prefetch(cells[first + c] + kCellsAhead, n_embd_v);
            keys.prefetch(cells[first + c] + kCellsAhead, n_embd);
        }
        const ggml_fp16_t * rows[C];
        PUNA_UNROLL for (int c = 0; c < C; c++) rows[c] = keys[cells[first + c]];
        for (int d = 0; d < n_embd; d += Vector::width) {
            Numbers query[R];
            PUNA_UNROLL for (int r = 0; r < R; r++) {
                query[r] = in_register(Vector::load(queries + r * query_stride + d));
            }
            PUNA_UNROLL for (int c = 0; c < C; c++) {
                const Numbers key = Vector::load(rows[c] + d);
                PUNA_UNROLL for (int r = 0; r < R; r++) sums[r][c] = Vector::multiply_add(key, query[r], sums[r][c]);
            }
        }
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            for (int c = 0; c < C; c += 4) {
                const __m128 four = Vector::sums(sums[r][c], sums[r][c + 1], sums[r][c + 2], sums[r][c + 3]);
                _mm_storeu_ps(scores + r * score_stride + first + c, _mm_mul_ps(four, _mm_set1_ps(scale)));
            }
        }
    }
}

// softcap × tanh(score), where the model has one.
PUNA_INLINE Numbers capped(Numbers score, float softcap) {
    if (softcap == 0.0f) {
        return score;
    }
    const Numbers one = Vector::all(1.0f);
    const Numbers power = ggml_v_expf(Vector::add(score, score));
    const Numbers tanh = Vector::subtract(one, Vector::divide(Vector::all(2.0f), Vector::add(power, one)));
    return Vector::multiply(Vector::all(softcap), tanh);
}

}  // namespace puna::attention

#endif
