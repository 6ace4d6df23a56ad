// K-quants with AVX-512 VNNI, one token: to transpose rows for it costs more than it brings. They are multiplied one
// after the other, as they lie in memory, which is read in order (four at a time were a tenth slower).
#pragma once

#include "matmul_k_inputs.h"

#ifdef PUNA_MATMUL_AVX512

namespace puna::k {
namespace {

inline Ints load_bytes(const void * from) { return (Ints) _mm512_loadu_si512(from); }

inline Ints join(__m256i low, __m256i high) {
    return (Ints) _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// Sums of four products, of at most 16 bits.
inline Ints dot(Ints weights, Ints inputs) {
    return (Ints) _mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i) weights, (__m512i) inputs);
}

// A block of inputs as weights are multiplied with it. See matmul_k_inputs.h for what lies where, with T = 1.
struct Q4KInputs {
    Ints values[4];  // of sub-blocks 0 and 2, 1 and 3, 4 and 6, 5 and 7
    __m128i sums;    // of sub-blocks 0, 2, 1, 3, 4, 6, 5, 7
    float scale;

    explicit Q4KInputs(const int32_t * at) {
        for (int i = 0; i < 4; i++) {
            const __m256i * const first = (const __m256i *) at + first_of_pair(i);
            values[i] = join(_mm256_loadu_si256(first), _mm256_loadu_si256(first + 2));
        }
        sums = _mm_loadu_si128((const __m128i *) (at + kWords));
        memcpy(&scale, at + kInputWords<Q4K> - 1, sizeof scale);
    }
};

// Two sub-blocks' scales in the low halves of their lanes, from eight bytes.
inline Ints spread_scales(__m512i scales, int low, int high) {
    constexpr int kZeros = (int) 0x80808000;
    return (Ints) _mm512_shuffle_epi8(
        scales, (__m512i) join(_mm256_set1_epi32(kZeros | low), _mm256_set1_epi32(kZeros | high)));
}

struct Q4KSum {
    Floats sum = all(0.0f);
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

        const Ints a = in_register(load_bytes(block.qs)), b = in_register(load_bytes(block.qs + 64));
        Ints first = {}, second = {};
        first = add_pair_products(first, dot(a & 0x0f0f0f0f, inputs.values[0]), spread_scales(scales, 0, 2));
        first = add_pair_products(first, dot(a >> 4 & 0x0f0f0f0f, inputs.values[1]), spread_scales(scales, 1, 3));
        second = add_pair_products(second, dot(b & 0x0f0f0f0f, inputs.values[2]), spread_scales(scales, 4, 6));
        second = add_pair_products(second, dot(b >> 4 & 0x0f0f0f0f, inputs.values[3]), spread_scales(scales, 5, 7));

        int32_t both;
        memcpy(&both, &block, sizeof both);
        const __m128 factors = _mm_cvtph_ps(_mm_cvtsi32_si128(both)) * _mm_set1_ps(inputs.scale);
        sum = multiply_add(to_floats(first + second), _mm512_broadcastss_ps(factors), sum);
        const __m128i order = _mm_setr_epi8(0, -1, 2, -1, 1, -1, 3, -1, 4, -1, 6, -1, 5, -1, 7, -1);
        const __m128i min_sums = _mm_madd_epi16(_mm_shuffle_epi8(min_bytes, order), inputs.sums);
        mins = _mm_fmadd_ps(_mm_cvtepi32_ps(min_sums), _mm_permute_ps(factors, 0x55), mins);
    }

    float total() const { return sum_of_lanes(sum - _mm512_zextps128_ps512(mins)); }
};

struct Q6KInputs {
    Ints values[4];
    __m256i sums;  // in the order of pairs
    float scale;

    explicit Q6KInputs(const int32_t * at) {
        for (int i = 0; i < 4; i++) {
            values[i] = load_bytes(at + 16 * i);
        }
        sums = _mm256_loadu_si256((const __m256i *) (at + kWords));
        memcpy(&scale, at + kInputWords<Q6K> - 1, sizeof scale);
    }
};

// Of four sub-blocks, each in the low halves of its four lanes. `scales`: 16 bits each, in the order of pairs.
inline Ints spread_scales(__m256i scales, int first) {
    const Ints places = {0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3, 3, 3};
    const __m512i from = _mm512_castsi256_si512(scales);
    return (Ints) _mm512_maskz_permutexvar_epi16(0x55555555, (__m512i) (places + first), from);
}

struct Q6KSum {
    Floats sum = all(0.0f);

    void add(const block_q6_K & block, const Q6KInputs & inputs) {
        const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);  // of pairs
        const __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *) block.scales), order);
        const __m256i scales = _mm256_cvtepi8_epi16(bytes);
        const __m256i too_large = _mm256_slli_epi32(_mm256_madd_epi16(scales, inputs.sums), 5);  // by 32 each
        Ints parts[2] = {};
        for (int half = 0; half < 2; half++) {
            const Ints up = join(_mm256_set1_epi32(4), _mm256_set1_epi32(2));
            const Ints down = join(_mm256_setzero_si256(), _mm256_set1_epi32(2));
            const Ints low = in_register(load_bytes(block.ql + 64 * half));
            const __m256i bits = _mm256_loadu_si256((const __m256i *) (block.qh + 32 * half));
            const Ints high = (Ints) _mm512_broadcast_i64x4(bits);
            const Ints first = (low & 0x0f0f0f0f) | (high << up & 0x30303030);
            const Ints second = (low >> 4 & 0x0f0f0f0f) | (high >> down & 0x30303030);
            Ints & part = parts[half];
            const int s = 8 * half;
            part = add_pair_products(part, dot(first, inputs.values[2 * half]), spread_scales(scales, s));
            part = add_pair_products(part, dot(second, inputs.values[2 * half + 1]), spread_scales(scales, s + 4));
        }
        uint16_t half;
        memcpy(&half, &block.d, sizeof half);
        const float factor = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))) * inputs.scale;
        const Ints whole = parts[0] + parts[1] - (Ints) _mm512_zextsi256_si512(too_large);
        sum = multiply_add(to_floats(whole), all(factor), sum);
    }

    float total() const { return sum_of_lanes(sum); }
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

// The sums of a group's rows. A function of its own, so that constants stay in registers.
template <class Weights>
__attribute__((noinline)) void multiply_one(const Rows & rows, int64_t n_blocks, const int32_t * inputs,
                                            Prefetch ahead, float * sums) {
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
}  // namespace puna::k

#endif
