// The inner loops of attention, for the widest vectors that this file is compiled for.
#pragma once

#include <type_traits>

#include "simd.h"
#include "vec.h"

#ifdef PUNA_AVX2

namespace puna::attention {

// How large a block of products the registers hold: kBlockRows x kBlockColumns vectors of sums, and kDotRows x 4 sums
// beside what they are made of.
#ifdef PUNA_AVX512
using namespace avx512;
constexpr int kBlockRows = 4, kBlockColumns = 4, kDotRows = 4;
#else
using namespace avx2;
constexpr int kBlockRows = 6, kBlockColumns = 2, kDotRows = 3;
#endif

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
    Floats sums[R][C];
    PUNA_UNROLL for (int r = 0; r < R; r++) {
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            const float * before = out + r * out_stride + c * kLanes;
            sums[r][c] = keep ? all(keep[r]) * load(before) : all(0.0f);
        }
    }
    for (int step = 0; step < n_steps; step++) {
        const auto * from = row(step);
        Floats values[C];
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            values[c] = in_register(load(from + c * kLanes));
        }
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            const Floats factor = all(factors.at[r * factors.row_stride + step * factors.step_stride]);
            PUNA_UNROLL for (int c = 0; c < C; c++) {
                sums[r][c] = multiply_add(factor, values[c], sums[r][c]);
            }
        }
    }
    PUNA_UNROLL for (int r = 0; r < R; r++) {
        PUNA_UNROLL for (int c = 0; c < C; c++) {
            store(out + r * out_stride + c * kLanes, sums[r][c]);
        }
    }
}

// All columns of R rows. A function of its own: within a larger one, GCC 12 keeps some of the sums in memory.
template <int R, class Row>
__attribute__((noinline)) void multiply_rows(float * out, size_t out_stride, int n_columns, Factors factors,
                                             int n_steps, Row row, const float * keep) {
    for (int c = 0; c < n_columns; c += kBlockColumns * kLanes) {
        with_constant<kBlockColumns>(std::min((n_columns - c) / kLanes, kBlockColumns), [&](auto count) {
            multiply_block<R, count()>(out + c, out_stride, factors, n_steps, [=](int i) { return row(i) + c; }, keep);
        });
    }
}

// out = keep × out + factors × the matrix of `row`s. `n_columns`: a multiple of the vectors' width.
template <class Row>
PUNA_INLINE void multiply(float * out, size_t out_stride, int n_rows, int n_columns, Factors factors, int n_steps,
                          Row row, const float * keep) {
    for (int r = 0; r < n_rows; r += kBlockRows) {
        const Factors from{factors.at + r * factors.row_stride, factors.row_stride, factors.step_stride};
        with_constant<kBlockRows>(std::min(n_rows - r, kBlockRows), [&](auto count) {
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
        return (const ggml_fp16_t *) (at + cell * stride);
    }
    PUNA_INLINE void prefetch(int cell, int n_numbers) const {
        const char * row = at + cell * stride;
        for (size_t i = 0; i < n_numbers * sizeof(ggml_fp16_t); i += 64) _mm_prefetch(row + i, _MM_HINT_T0);
    }
};

// Of n rows; those of infinity and NaN have an exponent of ones.
inline bool are_finite(CacheRows rows, int first, int n, int n_embd) {
    const __m256i exponent = _mm256_set1_epi16(0x7c00);
    __m256i found = _mm256_setzero_si256();
    for (int i = first; i < first + n; i++) {
        for (int d = 0; d < n_embd; d += 16) {
            const __m256i bits = _mm256_and_si256(_mm256_loadu_si256((const __m256i *) (rows[i] + d)), exponent);
            found = _mm256_or_si256(found, _mm256_cmpeq_epi16(bits, exponent));
        }
    }
    return _mm256_testz_si256(found, found);
}

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
        Floats sums[R][C];
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            PUNA_UNROLL for (int c = 0; c < C; c++) sums[r][c] = all(0.0f);
        }
        for (int c = 0; c < C && n_embd_v; c++) {
            values.prefetch(cells[first + c] + kCellsAhead, n_embd_v);
            keys.prefetch(cells[first + c] + kCellsAhead, n_embd);
        }
        const ggml_fp16_t * rows[C];
        PUNA_UNROLL for (int c = 0; c < C; c++) rows[c] = keys[cells[first + c]];
        for (int d = 0; d < n_embd; d += kLanes) {
            Floats query[R];
            PUNA_UNROLL for (int r = 0; r < R; r++) {
                query[r] = in_register(load(queries + r * query_stride + d));
            }
            PUNA_UNROLL for (int c = 0; c < C; c++) {
                const Floats key = load(rows[c] + d);
                PUNA_UNROLL for (int r = 0; r < R; r++) sums[r][c] = multiply_add(key, query[r], sums[r][c]);
            }
        }
        PUNA_UNROLL for (int r = 0; r < R; r++) {
            for (int c = 0; c < C; c += 4) {
                const __m128 four = sums_of_lanes(sums[r][c], sums[r][c + 1], sums[r][c + 2], sums[r][c + 3]);
                _mm_storeu_ps(scores + r * score_stride + first + c, _mm_mul_ps(four, _mm_set1_ps(scale)));
            }
        }
    }
}

// softcap × tanh(score), where the model has one.
PUNA_INLINE Floats capped(Floats score, float softcap) {
    if (softcap == 0.0f) {
        return score;
    }
    const Floats tanh = 1.0f - 2.0f / (ggml_v_expf(score + score) + 1.0f);
    return softcap * tanh;
}

}  // namespace puna::attention

#endif
