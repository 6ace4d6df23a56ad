// K-quants with AVX-512 VNNI, one token: to transpose rows for it costs more than it brings. They are multiplied one
// after the other, as they lie in memory, which is read in order (four at a time were a tenth slower).
#pragma once

#include <immintrin.h>

#include "matmul_k.h"

namespace puna {
namespace {

// Adds `products`, numbers of at most 16 bits in lanes of 32, times the 16-bit numbers in the low halves of `scales`.
inline __m512i add_scaled(__m512i sum, __m512i products, __m512i scales) {
    return _mm512_dpwssd_epi32(sum, products, scales);
}

inline __m512i dot(__m512i weights, __m512i inputs) {
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, inputs);
}

inline __m512i join(const uint8_t * low, const uint8_t * high) {
    const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *) low));
    return _mm512_inserti64x4(first, _mm256_loadu_si256((const __m256i *) high), 1);
}

// A block of inputs as weights are multiplied with it. See matmul_k.h for what lies where, with T = 1.
struct Q4KInputs {
    __m512i values[4];  // of sub-blocks 0 and 2, 1 and 3, 4 and 6, 5 and 7
    __m128i sums;       // of sub-blocks 0, 2, 1, 3, 4, 6, 5, 7
    float scale;

    explicit Q4KInputs(const int32_t * at) {
        const uint8_t * bytes = (const uint8_t *) at;
        for (int i = 0; i < 4; i++) {
            const uint8_t * const first = bytes + 32 * first_of_pair(i);
            values[i] = join(first, first + 64);
        }
        sums = _mm_loadu_si128((const __m128i *) (at + kWords));
        memcpy(&scale, at + kInputWords<Q4K> - 1, sizeof scale);
    }
};

// Two sub-blocks' scales in the lanes of theirs, from eight in a word.
inline __m512i spread_scales(__m512i scales, int low, int high) {
    constexpr uint32_t kZeros = 0x80808000;
    const __m512i places = _mm512_inserti64x4(_mm512_set1_epi32((int32_t) (kZeros | low)),
                                              _mm256_set1_epi32((int32_t) (kZeros | high)), 1);
    return _mm512_shuffle_epi8(scales, places);
}

struct Q4KSum {
    __m512 sum = _mm512_setzero_ps();
    __m128 mins = _mm_setzero_ps();

    void add(const block_q4_K & block, const Q4KInputs & inputs) {
        uint32_t packed[3];
        memcpy(packed, block.scales, sizeof packed);
        const auto halves = [](uint32_t low, uint32_t four_bits, uint32_t two_bits) {
            const uint32_t high = (four_bits & 0x0f0f0f0f) | (two_bits >> 2 & 0x30303030);
            return (int64_t) ((uint64_t) high << 32 | (low & 0x3f3f3f3f));
        };
        const __m512i scales = _mm512_set1_epi64(halves(packed[0], packed[2], packed[0]));
        const __m128i min_bytes = _mm_cvtsi64_si128(halves(packed[1], packed[2] >> 4, packed[1]));

        const __m512i low_bits = _mm512_set1_epi8(0x0f);
        const __m512i a = _mm512_loadu_si512(block.qs), b = _mm512_loadu_si512(block.qs + 64);
        const __m512i a_high = _mm512_and_si512(_mm512_srli_epi16(a, 4), low_bits);
        const __m512i b_high = _mm512_and_si512(_mm512_srli_epi16(b, 4), low_bits);
        __m512i first = dot(_mm512_and_si512(a, low_bits), inputs.values[0]);
        first = add_scaled(_mm512_setzero_si512(), first, spread_scales(scales, 0, 2));
        first = add_scaled(first, dot(a_high, inputs.values[1]), spread_scales(scales, 1, 3));
        __m512i second = dot(_mm512_and_si512(b, low_bits), inputs.values[2]);
        second = add_scaled(_mm512_setzero_si512(), second, spread_scales(scales, 4, 6));
        second = add_scaled(second, dot(b_high, inputs.values[3]), spread_scales(scales, 5, 7));

        int32_t both;
        memcpy(&both, &block, sizeof both);
        const __m128 factors = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(both)), _mm_set1_ps(inputs.scale));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(first, second)), _mm512_broadcastss_ps(factors), sum);
        const __m128i order = _mm_setr_epi8(0, -1, 2, -1, 1, -1, 3, -1, 4, -1, 6, -1, 5, -1, 7, -1);
        const __m128i min_sums = _mm_madd_epi16(_mm_shuffle_epi8(min_bytes, order), inputs.sums);
        mins = _mm_fmadd_ps(_mm_cvtepi32_ps(min_sums), _mm_permute_ps(factors, 0x55), mins);
    }

    float total() const {
        const __m512 all = _mm512_sub_ps(sum, _mm512_zextps128_ps512(mins));
        return _mm512_reduce_add_ps(all);
    }
};

struct Q6KInputs {
    __m512i values[4];
    __m512i begins;
    float scale;

    explicit Q6KInputs(const int32_t * at) {
        for (int i = 0; i < 4; i++) {
            values[i] = _mm512_loadu_si512(at + 16 * i);
        }
        begins = _mm512_loadu_si512(at + kWords);
        memcpy(&scale, at + kInputWords<Q6K> - 1, sizeof scale);
    }
};

struct Q6KSum {
    __m512 sum = _mm512_setzero_ps();

    void add(const block_q6_K & block, const Q6KInputs & inputs) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *) block.scales);
        const __m512i scales = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(bytes));
        __m512i parts[2] = {_mm512_mullo_epi32(_mm512_cvtepi8_epi32(bytes), inputs.begins), _mm512_setzero_si512()};
        for (int half = 0; half < 2; half++) {
            const __m512i low_bits = _mm512_set1_epi8(0x0f), high_bits = _mm512_set1_epi8(0x30);
            const __m512i shifts_up = _mm512_inserti64x4(_mm512_set1_epi32(4), _mm256_set1_epi32(2), 1);
            const __m512i shifts_down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(2), 1);
            const __m512i low = _mm512_loadu_si512(block.ql + 64 * half);
            const __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *) (block.qh + 32 * half)));
            const __m512i first = _mm512_or_si512(_mm512_and_si512(low, low_bits),
                                                  _mm512_and_si512(_mm512_sllv_epi32(high, shifts_up), high_bits));
            const __m512i second = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), low_bits),
                                                   _mm512_and_si512(_mm512_srlv_epi32(high, shifts_down), high_bits));
            __m512i & part = parts[half];
            part = add_scaled(part, dot(first, inputs.values[2 * half]), spread(scales, 8 * half));
            part = add_scaled(part, dot(second, inputs.values[2 * half + 1]), spread(scales, 8 * half + 4));
        }
        uint16_t bits;
        memcpy(&bits, &block.d, sizeof bits);
        const float factor = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits))) * inputs.scale;
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(parts[0], parts[1])), _mm512_set1_ps(factor), sum);
    }

    // Four scales from the given one on, each in the low halves of four lanes.
    static __m512i spread(__m512i scales, int from) {
        const __m512i places = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        return _mm512_maskz_permutexvar_epi16(0x55555555, _mm512_add_epi32(places, _mm512_set1_epi32(from)), scales);
    }

    float total() const { return _mm512_reduce_add_ps(sum); }
};

template <class Weights> struct OneToken;

template <> struct OneToken<Q4K> {
    using Inputs = Q4KInputs;
    using Sum = Q4KSum;
};

template <> struct OneToken<Q6K> {
    using Inputs = Q6KInputs;
    using Sum = Q6KSum;
};

// The sums of a group's rows.
template <class Weights>
void multiply_one(const Rows & rows, int64_t n_blocks, const int32_t * inputs, Prefetch & ahead, float * sums) {
    using Block = typename Weights::Block;
    constexpr int kLines = (sizeof(Block) + Prefetch::kLine - 1) / Prefetch::kLine;
    for (int row = 0; row < kRows; row++) {
        const Block * const blocks = (const Block *) rows[row];
        typename OneToken<Weights>::Sum sum;
        for (int64_t i = 0; i < n_blocks; i++) {
            for (int line = 0; line < kLines; line++) {
                ahead.line();
            }
            sum.add(blocks[i], typename OneToken<Weights>::Inputs(inputs + i * kInputWords<Weights>));
        }
        sums[row] = sum.total();
    }
}

}  // namespace
}  // namespace puna
