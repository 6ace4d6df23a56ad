// Products of Q8_0 weights with several tokens.
//
// llama.cpp computes them with llamafile's kernels: a vector holds 32 consecutive weights of one row, which takes a
// conversion to float, a product of scales and an FMA for every 32 products, and, as VNNI multiplies unsigned by signed,
// moving the signs from one side to the other. Here a vector holds 4 consecutive weights of each of 8 or 16 rows, so that
// those are needed once in 256 or 512 products; the inputs are made unsigned by adding 128, which the weights' sum takes
// back. Rows have to be interleaved for it, once for all tokens, in a piece of memory that stays in the L1 cache.
//
// The inputs become Q8_0 as in llama.cpp: the same numbers, the same exact sums of 32 products, added in F32.

#if defined(__GNUC__) && !defined(__clang__)
// Weights are fetched by hand here: what -fprefetch-loop-arrays adds (docs/benchmarks.md) is in the way.
#pragma GCC optimize("no-prefetch-loop-arrays")
#endif

#include "matmul.h"

#include <algorithm>

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "quants.h"
#include "simd-mappings.h"

namespace {

constexpr int BLOCK = QK8_0;
constexpr int STEPS = BLOCK / 4;  // a vector of interleaved weights has 4 of each row

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

using Ints = __m512i;
using Floats = __m512;
constexpr int LANES = 16;
constexpr int VECTORS = 2;

inline Ints load(const void * from) { return _mm512_load_si512(from); }
inline void store(void * to, Ints values) { _mm512_store_si512(to, values); }
inline Ints spread(int32_t value) { return _mm512_set1_epi32(value); }
inline Floats spread(float value) { return _mm512_set1_ps(value); }
inline Floats load_floats(const float * from) { return _mm512_load_ps(from); }
inline Floats zero_floats() { return _mm512_setzero_ps(); }
inline Floats from_halves(const uint16_t * halves) { return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *) halves)); }
inline void store_floats(float * to, Floats values) { _mm512_store_ps(to, values); }
inline Floats to_floats(Ints values) { return _mm512_cvtepi32_ps(values); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Ints negative(Ints values) { return _mm512_sub_epi32(_mm512_setzero_si512(), values); }
inline Ints add_products(Ints sums, Ints inputs, Ints weights) { return _mm512_dpbusd_epi32(sums, inputs, weights); }

// Of how many rows, from the first lane on, results exist.
using Mask = __mmask16;
inline Mask mask_of(int64_t n_rows) { return n_rows >= LANES ? 0xffff : n_rows <= 0 ? 0 : (1 << n_rows) - 1; }
inline Floats load_some(const float * from, Mask mask) { return _mm512_maskz_loadu_ps(mask, from); }
inline void store_some(float * to, Floats values, Mask mask) { _mm512_mask_storeu_ps(to, mask, values); }

// 16 bytes of each of four rows that are 4 apart.
inline Ints load_rows(const char * const * rows, size_t at) {
    auto part = [=](int i) { return _mm_loadu_si128((const __m128i *) (rows[4 * i] + at)); };
    Ints found = _mm512_castsi128_si512(part(0));
    found = _mm512_mask_broadcast_i32x4(found, 0x00f0, part(1));
    found = _mm512_mask_broadcast_i32x4(found, 0x0f00, part(2));
    return _mm512_mask_broadcast_i32x4(found, 0xf000, part(3));
}

inline Ints low_32(Ints a, Ints b) { return _mm512_unpacklo_epi32(a, b); }
inline Ints high_32(Ints a, Ints b) { return _mm512_unpackhi_epi32(a, b); }
inline Ints low_64(Ints a, Ints b) { return _mm512_unpacklo_epi64(a, b); }
inline Ints high_64(Ints a, Ints b) { return _mm512_unpackhi_epi64(a, b); }

constexpr bool UNSIGNED_INPUTS = true;

#else

using Ints = __m256i;
using Floats = __m256;
constexpr int LANES = 8;
constexpr int VECTORS = 1;

inline Ints load(const void * from) { return _mm256_load_si256((const __m256i *) from); }
inline void store(void * to, Ints values) { _mm256_store_si256((__m256i *) to, values); }
inline Ints spread(int32_t value) { return _mm256_set1_epi32(value); }
inline Floats spread(float value) { return _mm256_set1_ps(value); }
inline Floats load_floats(const float * from) { return _mm256_load_ps(from); }
inline Floats zero_floats() { return _mm256_setzero_ps(); }
inline Floats from_halves(const uint16_t * halves) { return _mm256_cvtph_ps(_mm_load_si128((const __m128i *) halves)); }
inline void store_floats(float * to, Floats values) { _mm256_store_ps(to, values); }
inline Floats to_floats(Ints values) { return _mm256_cvtepi32_ps(values); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Ints negative(Ints values) { return _mm256_sub_epi32(_mm256_setzero_si256(), values); }

using Mask = __m256i;
inline Mask mask_of(int64_t n_rows) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int) std::clamp<int64_t>(n_rows, 0, LANES)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Floats load_some(const float * from, Mask mask) { return _mm256_maskload_ps(from, mask); }
inline void store_some(float * to, Floats values, Mask mask) { _mm256_maskstore_ps(to, mask, values); }

inline Ints load_rows(const char * const * rows, size_t at) {
    return _mm256_loadu2_m128i((const __m128i *) (rows[4] + at), (const __m128i *) (rows[0] + at));
}

inline Ints low_32(Ints a, Ints b) { return _mm256_unpacklo_epi32(a, b); }
inline Ints high_32(Ints a, Ints b) { return _mm256_unpackhi_epi32(a, b); }
inline Ints low_64(Ints a, Ints b) { return _mm256_unpacklo_epi64(a, b); }
inline Ints high_64(Ints a, Ints b) { return _mm256_unpackhi_epi64(a, b); }

#if defined(__AVXVNNI__)
constexpr bool UNSIGNED_INPUTS = true;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    return _mm256_dpbusd_avx_epi32(sums, inputs, weights);
}
#else
// The inputs take the weights' signs: |weight| is at most 128 and |input| 127, of which two products fit into 16 bits.
constexpr bool UNSIGNED_INPUTS = false;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    const Ints pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

#endif

constexpr int MIN_TOKENS = 2;
constexpr int GROUP = 6;             // tokens multiplied at once: as many as their sums have registers
constexpr int GROUPS_AT_ONCE = 42;   // tokens for which rows are interleaved once: their inputs stay in the L2 cache
constexpr int TILE = 32;             // rows
constexpr int STRIP = LANES * VECTORS;
constexpr int MAX_BLOCKS = 24;       // blocks of a tile interleaved at once

size_t work_size(const ggml_tensor * dst) {
    return ggml_nelements(dst->src[1]) / BLOCK * (BLOCK + sizeof(float));
}

// The shape of a product, and its inputs in work memory: groups of almost equally many tokens, which stand together
// block by block, so that a group is read from its beginning to its end.
struct Product {
    const ggml_tensor * weights;
    const ggml_tensor * inputs;
    const ggml_tensor * results;
    int64_t n_blocks, n_rows, n_tokens, n_groups;
    uint8_t * quants;  // 32 for each token and block
    float * scales;    // one for each token and block

    Product(const ggml_tensor * dst, void * work)
        : weights(dst->src[0]), inputs(dst->src[1]), results(dst), n_blocks(weights->ne[0] / BLOCK),
          n_rows(weights->ne[1]), n_tokens(inputs->ne[1]), n_groups((n_tokens + GROUP - 1) / GROUP),
          quants((uint8_t *) work), scales((float *) (quants + n_tokens * n_blocks * BLOCK)) {}

    int64_t first_token(int64_t group) const { return group * n_tokens / n_groups; }
    int n_tokens_of(int64_t group) const { return (int) (first_token(group + 1) - first_token(group)); }
    // Where a block of a group's first token stands among those of all.
    int64_t place(int64_t group, int64_t block) const {
        return first_token(group) * n_blocks + block * n_tokens_of(group);
    }
    const char * row(int64_t i) const { return (const char *) weights->data + i * weights->nb[1]; }
    float * result(int64_t token, int64_t row) const {
        return (float *) ((char *) results->data + token * results->nb[1]) + row;
    }
};

void quantize(const Product & product, int64_t group, int64_t block) {
    const int64_t first = product.first_token(group), place = product.place(group, block);
    for (int i = 0; i < product.n_tokens_of(group); i++) {
        const char * input = (const char *) product.inputs->data + (first + i) * product.inputs->nb[1];
        block_q8_0 found;
        quantize_row_q8_0((const float *) input + block * BLOCK, &found, BLOCK);
        product.scales[place + i] = GGML_CPU_FP16_TO_FP32(found.d);
        const __m256i values = _mm256_loadu_si256((const __m256i *) found.qs);
        const __m256i bias = _mm256_set1_epi8(UNSIGNED_INPUTS ? (char) 0x80 : 0);
        _mm256_storeu_si256((__m256i *) (product.quants + (place + i) * BLOCK), _mm256_xor_si256(values, bias));
    }
}

// This thread's part of the inputs: so many blocks of groups.
void quantize_part(const Product & product, int ith, int nth) {
    const int64_t n = product.n_groups * product.n_blocks;
    for (int64_t i = n * ith / nth; i < n * (ith + 1) / nth; i++) {
        quantize(product, i / product.n_blocks, i % product.n_blocks);
    }
}

// A block of a strip's rows, interleaved.
struct alignas(64) StripBlock {
    int8_t quants[STEPS][VECTORS][LANES * 4];
    float scales[VECTORS][LANES];
    int32_t start[VECTORS][LANES];  // what a sum begins with: minus 128 times the weights' sum, where inputs are unsigned
};

struct Tile {
    StripBlock strips[TILE / STRIP][MAX_BLOCKS];
};

// 16 bytes of each of a vector's rows become four vectors, with 4 bytes of each row.
inline void interleave_16(const char * const * rows, size_t at, Ints steps[4]) {
    const Ints a = load_rows(rows, at), b = load_rows(rows + 1, at);
    const Ints c = load_rows(rows + 2, at), d = load_rows(rows + 3, at);
    const Ints ab_low = low_32(a, b), ab_high = high_32(a, b), cd_low = low_32(c, d), cd_high = high_32(c, d);
    steps[0] = low_64(ab_low, cd_low);
    steps[1] = high_64(ab_low, cd_low);
    steps[2] = low_64(ab_high, cd_high);
    steps[3] = high_64(ab_high, cd_high);
}

inline Ints start_of(const Ints steps[STEPS]) {
    Ints sum = spread(0);
    if (UNSIGNED_INPUTS) {
        for (int i = 0; i < STEPS; i++) {
            sum = add_products(sum, spread((int32_t) 0x80808080), steps[i]);
        }
    }
    return negative(sum);
}

// `at`: the block's place in a row, in bytes.
inline void interleave(const char * const * rows, size_t at, StripBlock & to, int vector) {
    alignas(64) uint16_t halves[LANES];
    for (int i = 0; i < LANES; i++) {
        memcpy(&halves[i], rows[i] + at + offsetof(block_q8_0, d), sizeof(uint16_t));
    }
    Ints steps[STEPS];
    interleave_16(rows, at + offsetof(block_q8_0, qs), steps);
    interleave_16(rows, at + offsetof(block_q8_0, qs) + 16, steps + 4);
    for (int i = 0; i < STEPS; i++) {
        store(to.quants[i][vector], steps[i]);
    }
    store(to.start[vector], start_of(steps));
    store_floats(to.scales[vector], from_halves(halves));
}

struct Blocks {
    int64_t first, last;  // of a row; the last is not one of them
};

// Rows of weights that will be needed next, from the first byte that will be.
struct Ahead {
    const char * const * rows;
    int n_rows;

    // One of n parts of the rows.
    Ahead part(int64_t i, int64_t n) const {
        const int first = (int) (n_rows * i / n);
        return {rows + first, (int) (n_rows * (i + 1) / n) - first};
    }
    void fetch(int64_t block) const {
        for (int i = 0; i < n_rows; i++) {
            _mm_prefetch(rows[i] + block * sizeof(block_q8_0), _MM_HINT_T0);
        }
    }
};

// The rows from `row` on; those that do not exist repeat the last.
void interleave(const Product & product, int64_t row, Blocks blocks, const Ahead & ahead, Tile & tile) {
    const char * rows[TILE];
    for (int i = 0; i < TILE; i++) {
        rows[i] = product.row(std::min(row + i, product.n_rows - 1));
    }
    for (int i = 0; i < TILE; i += LANES) {
        const Ahead part = ahead.part(i / LANES, TILE / LANES);
        for (int64_t block = 0; block < blocks.last - blocks.first; block++) {
            part.fetch(block);
            const size_t at = (blocks.first + block) * sizeof(block_q8_0);
            interleave(rows + i, at, tile.strips[i / STRIP][block], i / LANES % VECTORS);
        }
    }
}

// What a strip of rows gives for N tokens. The results are those of these blocks, or have them added.
template <int N>
void multiply_strip(const StripBlock * weights, int64_t n_blocks, const uint8_t * quants, const float * scales,
                    float * const * results, const Mask * masks, bool adds, const Ahead & ahead) {
    Floats totals[N][VECTORS];
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < VECTORS; v++) {
            totals[t][v] = adds ? load_some(results[t] + v * LANES, masks[v]) : zero_floats();
        }
    }
    for (int64_t block = 0; block < n_blocks; block++, weights++, quants += N * BLOCK, scales += N) {
        ahead.fetch(block);
        Ints sums[N][VECTORS];
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < VECTORS; v++) {
                sums[t][v] = load(weights->start[v]);
            }
        }
#pragma GCC unroll 8
        for (int step = 0; step < STEPS; step++) {
            Ints w[VECTORS];
            for (int v = 0; v < VECTORS; v++) {
                w[v] = load(weights->quants[step][v]);
            }
            for (int t = 0; t < N; t++) {
                int32_t four;
                memcpy(&four, quants + t * BLOCK + step * 4, sizeof(four));
                const Ints x = spread(four);
                for (int v = 0; v < VECTORS; v++) {
                    sums[t][v] = add_products(sums[t][v], x, w[v]);
                }
            }
        }
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < VECTORS; v++) {
                const Floats scale = multiply(load_floats(weights->scales[v]), spread(scales[t]));
                totals[t][v] = multiply_add(to_floats(sums[t][v]), scale, totals[t][v]);
            }
        }
    }
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < VECTORS; v++) {
            store_some(results[t] + v * LANES, totals[t][v], masks[v]);
        }
    }
}

using MultiplyStrip = decltype(&multiply_strip<1>);
constexpr MultiplyStrip MULTIPLY[GROUP + 1] = {
    nullptr,           multiply_strip<1>, multiply_strip<2>, multiply_strip<3>,
    multiply_strip<4>, multiply_strip<5>, multiply_strip<6>,
};

void multiply_group(const Product & product, const Tile & tile, int64_t row, Blocks blocks, int64_t group,
                    const Ahead & ahead) {
    const int n_tokens = product.n_tokens_of(group);
    const int64_t place = product.place(group, blocks.first);
    for (int strip = 0; strip < TILE / STRIP && row + strip * STRIP < product.n_rows; strip++) {
        const int64_t first = row + strip * STRIP;
        Mask masks[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            masks[v] = mask_of(product.n_rows - first - v * LANES);
        }
        float * results[GROUP];
        for (int t = 0; t < n_tokens; t++) {
            results[t] = product.result(product.first_token(group) + t, first);
        }
        MULTIPLY[n_tokens](tile.strips[strip], blocks.last - blocks.first, product.quants + place * BLOCK,
                           product.scales + place, results, masks, blocks.first > 0,
                           ahead.part(strip, TILE / STRIP));
    }
}

// A share of the work: a tile of rows, and groups of tokens.
struct Share {
    int64_t row, first_group, last_group;
};

int64_t n_tiles(const Product & product) { return (product.n_rows + TILE - 1) / TILE; }

int64_t n_shares(const Product & product) {
    return n_tiles(product) * ((product.n_groups + GROUPS_AT_ONCE - 1) / GROUPS_AT_ONCE);
}

Share share_at(const Product & product, int64_t i) {
    const int64_t group = i / n_tiles(product) * GROUPS_AT_ONCE;
    return {i % n_tiles(product) * TILE, group, std::min(group + GROUPS_AT_ONCE, product.n_groups)};
}

int64_t n_ranges(const Product & product) { return (product.n_blocks + MAX_BLOCKS - 1) / MAX_BLOCKS; }

// The part of a row that is interleaved at once.
Blocks range_at(const Product & product, int64_t i) {
    return {i * product.n_blocks / n_ranges(product), (i + 1) * product.n_blocks / n_ranges(product)};
}

// Begin to get the first weights of a share from memory.
void fetch(const Product & product, const Share & share) {
    const int64_t size = range_at(product, 0).last * sizeof(block_q8_0);
    for (int64_t row = share.row; row < std::min(share.row + TILE, product.n_rows); row++) {
        for (int64_t at = 0; at < size; at += 64) {
            _mm_prefetch(product.row(row) + at, _MM_HINT_T0);
        }
    }
}

// Of a tile's rows, how many are fetched while the tile before it is interleaved; the others while that is multiplied.
// Measured: as memory is busiest when both take as long. Interleaving takes as long as multiplying by six tokens.
int n_fetched_interleaving(const Product & product) {
    return product.n_groups > 1 ? 0 : (int) (TILE * 6 / (6 + product.n_tokens));
}

// `next_row`: where this thread goes on afterwards. The weights needed next are fetched meanwhile: in short rows, and in
// many at a time, the processor does not foresee it.
void multiply_share(const Product & product, const Share & share, int64_t next_row) {
    Tile tile;
    const int n_first = n_fetched_interleaving(product);
    for (int64_t i = 0; i < n_ranges(product); i++) {
        const Blocks blocks = range_at(product, i);
        const bool goes_on = blocks.last < product.n_blocks;
        const char * next[TILE];
        for (int j = 0; j < TILE; j++) {
            const char * row = product.row(std::min((goes_on ? share.row : next_row) + j, product.n_rows - 1));
            next[j] = row + (goes_on ? blocks.last * sizeof(block_q8_0) : 0);
        }
        interleave(product, share.row, blocks, {next, n_first}, tile);
        const Ahead rest = {next + n_first, TILE - n_first};
        for (int64_t group = share.first_group; group < share.last_group; group++) {
            const Ahead part = rest.part(group - share.first_group, share.last_group - share.first_group);
            multiply_group(product, tile, share.row, blocks, group, part);
        }
    }
}

bool is_rows_of(const ggml_tensor * tensor, ggml_type type) {
    return tensor->type == type && tensor->nb[0] == ggml_type_size(type) && tensor->ne[2] == 1 && tensor->ne[3] == 1;
}

bool is_taken(const ggml_tensor * dst) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * inputs = dst->src[1];
    return dst->op == GGML_OP_MUL_MAT && is_rows_of(weights, GGML_TYPE_Q8_0) && weights->extra == nullptr &&
           is_rows_of(inputs, GGML_TYPE_F32) && is_rows_of(dst, GGML_TYPE_F32) && inputs->ne[1] >= MIN_TOKENS;
}

}  // namespace

namespace puna {

bool multiply_q8(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_taken(dst) || params->wsize < work_size(dst)) {
        return false;
    }
    const Product product(dst, params->wdata);
    const int64_t n = n_shares(product);
    int64_t i = params->ith;
    if (i < n) {
        fetch(product, share_at(product, i));
    }
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);  // each thread's first share is given
    }
    quantize_part(product, params->ith, params->nth);
    ggml_barrier(params->threadpool);

    // The share after this one is taken beforehand, so that its weights can be fetched meanwhile.
    while (i < n) {
        const int64_t next = ggml_threadpool_chunk_add(params->threadpool, 1);
        const Share share = share_at(product, i);
        multiply_share(product, share, next < n ? share_at(product, next).row : share.row);
        i = next;
    }
    return true;
}

size_t multiply_q8_work_size(const ggml_tensor * dst, int) {
    // Added to what ggml plans in any case: the inputs as Q8_0.
    return is_taken(dst) ? work_size(dst) - ggml_row_size(GGML_TYPE_Q8_0, ggml_nelements(dst->src[1])) : 0;
}

}  // namespace puna

#else

namespace puna {

bool multiply_q8(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

size_t multiply_q8_work_size(const ggml_tensor *, int) {
    return 0;
}

}  // namespace puna

#endif
