// Products of Q8_0 weights with several tokens.
//
// llama.cpp computes them with llamafile's kernels: a vector holds 32 consecutive weights of one row, which takes a
// conversion to float, a product of scales and an FMA for every 32 products, and, as the instructions multiply unsigned
// by signed numbers, moving the signs from one side to the other. Here a vector holds 4 consecutive weights of each of
// 8 or 16 rows, so that those are needed once in 256 or 512 products; with VNNI the inputs are made unsigned by adding
// 128, which the weights' sum takes back. Rows are interleaved for it, once for all tokens, in memory that stays in the
// L1 cache. Meanwhile the weights of the next rows are fetched: few tokens wait for little else.
//
// The inputs become Q8_0 as in llama.cpp: the same numbers, the same exact sums of 32 products, added in F32. What a
// token gives depends neither on the number of threads nor, of two tokens and more, on the others.

#if defined(__GNUC__) && !defined(__clang__)
// Weights are fetched by hand: what -fprefetch-loop-arrays adds (docs/benchmarks.md) is in the way. And copying the
// scales of rows one by one is quicker than putting them into a vector.
#pragma GCC optimize("no-prefetch-loop-arrays", "no-tree-slp-vectorize")
#endif

#include "matmul.h"
#include "matmul_q8_simd.h"

#include <algorithm>

#ifdef PUNA_Q8

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "quants.h"
#include "simd-mappings.h"

namespace puna {

namespace {

using namespace q8;

constexpr int kBlock = QK8_0;
constexpr int kSteps = kBlock / 4;  // a vector of interleaved weights has 4 of each row

constexpr int kMinTokens = 2;      // one token is bound by memory, and llama.cpp's reading is as quick
constexpr int kGroup = 6;          // tokens multiplied at once: as many as their sums have registers
constexpr int kGroupsAtOnce = 42;  // tokens for which rows are interleaved once: their inputs stay in the L2 cache
constexpr int kTile = 32;          // rows that are interleaved, and stay in the L1 cache while they are multiplied
constexpr int kMaxBlocks = 18;     // of each of these rows; measured: 16 is as quick, 24 and 32 slower with long rows
constexpr int kStrip = kLanes * kVectors;

size_t work_size(const ggml_tensor * dst) {
    return ggml_nelements(dst->src[1]) / kBlock * (kBlock + sizeof(float));
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
        : weights(dst->src[0]), inputs(dst->src[1]), results(dst), n_blocks(weights->ne[0] / kBlock),
          n_rows(weights->ne[1]), n_tokens(inputs->ne[1]), n_groups((n_tokens + kGroup - 1) / kGroup),
          quants((uint8_t *) work), scales((float *) (quants + n_tokens * n_blocks * kBlock)) {}

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
        quantize_row_q8_0((const float *) input + block * kBlock, &found, kBlock);
        product.scales[place + i] = GGML_CPU_FP16_TO_FP32(found.d);
        const __m256i values = _mm256_loadu_si256((const __m256i *) found.qs);
        const __m256i bias = _mm256_set1_epi8(kUnsignedInputs ? (char) 0x80 : 0);
        _mm256_storeu_si256((__m256i *) (product.quants + (place + i) * kBlock), _mm256_xor_si256(values, bias));
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
    int8_t quants[kSteps][kVectors][kLanes * 4];
    float scales[kVectors][kLanes];
    int32_t start[kVectors][kLanes];  // of sums: minus 128 times the weights, where inputs are unsigned
};

struct Tile {
    StripBlock strips[kTile / kStrip][kMaxBlocks];
};

// 16 bytes of each of a vector's rows become four vectors, with 4 bytes of each row.
inline void interleave_16(const char * first, size_t stride, Ints steps[4]) {
    const Ints a = load_rows(first, 4 * stride), b = load_rows(first + stride, 4 * stride);
    const Ints c = load_rows(first + 2 * stride, 4 * stride), d = load_rows(first + 3 * stride, 4 * stride);
    const Ints ab_low = low_32(a, b), ab_high = high_32(a, b), cd_low = low_32(c, d), cd_high = high_32(c, d);
    steps[0] = low_64(ab_low, cd_low);
    steps[1] = high_64(ab_low, cd_low);
    steps[2] = low_64(ab_high, cd_high);
    steps[3] = high_64(ab_high, cd_high);
}

inline Ints start_of(const Ints steps[kSteps]) {
    Ints sum = spread(0);
    if (kUnsignedInputs) {
        for (int i = 0; i < kSteps; i++) {
            sum = add_products(sum, spread((int32_t) 0x80808080), steps[i]);
        }
    }
    return negative(sum);
}

// `block`: of the first row.
inline void interleave(const char * block, size_t stride, StripBlock & to, int vector, uint16_t * halves) {
    for (int i = 0; i < kLanes; i++) {
        memcpy(&halves[i], block + i * stride + offsetof(block_q8_0, d), sizeof(uint16_t));
    }
    Ints steps[kSteps];
    interleave_16(block + offsetof(block_q8_0, qs), stride, steps);
    interleave_16(block + offsetof(block_q8_0, qs) + 16, stride, steps + 4);
    for (int i = 0; i < kSteps; i++) {
        store(to.quants[i][vector], steps[i]);
    }
    store(to.start[vector], start_of(steps));
}

struct Blocks {
    int64_t first, last;  // of a row; the last is not one of them
};

// Memory that will be needed next, fetched from its beginning to its end, so many bytes at a time.
struct Ahead {
    const char * at;
    const char * until;
    size_t step;

    void fetch() {
        until += step;
        for (; at < until; at += 64) {
            _mm_prefetch(at, _MM_HINT_T0);
        }
    }
};

void interleave(const Product & product, int64_t row, Blocks blocks, Ahead & ahead, Tile & tile) {
    const size_t stride = product.weights->nb[1];
    alignas(64) uint16_t halves[kMaxBlocks][kLanes];
    for (int i = 0; i < kTile; i += kLanes) {
        const char * from = product.row(row + i) + blocks.first * sizeof(block_q8_0);
        StripBlock * strip = tile.strips[i / kStrip];
        const int vector = i / kLanes % kVectors;
        for (int64_t block = 0; block < blocks.last - blocks.first; block++, from += sizeof(block_q8_0)) {
            ahead.fetch();
            interleave(from, stride, strip[block], vector, halves[block]);
        }
        // Afterwards: a vector cannot be loaded before all that was stored into it has reached the cache.
        for (int64_t block = 0; block < blocks.last - blocks.first; block++) {
            store_floats(strip[block].scales[vector], from_halves(halves[block]));
        }
    }
}

// What a strip of rows gives for N tokens. The results are those of these blocks, or have them added.
template <int N>
void multiply_strip(const StripBlock * weights, int64_t n_blocks, const uint8_t * quants, const float * scales,
                    float * const * results, const Mask * masks, bool adds, Ahead & ahead) {
    Floats totals[N][kVectors];
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < kVectors; v++) {
            totals[t][v] = adds ? load_some(results[t] + v * kLanes, masks[v]) : zero_floats();
        }
    }
    for (int64_t block = 0; block < n_blocks; block++, weights++, quants += N * kBlock, scales += N) {
        ahead.fetch();
        Ints sums[N][kVectors];
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < kVectors; v++) {
                sums[t][v] = load(weights->start[v]);
            }
        }
#pragma GCC unroll 8
        for (int step = 0; step < kSteps; step++) {
            Ints w[kVectors];
            for (int v = 0; v < kVectors; v++) {
                w[v] = load(weights->quants[step][v]);
            }
            for (int t = 0; t < N; t++) {
                int32_t four;
                memcpy(&four, quants + t * kBlock + step * 4, sizeof(four));
                const Ints x = spread(four);
                for (int v = 0; v < kVectors; v++) {
                    sums[t][v] = add_products(sums[t][v], x, w[v]);
                }
            }
        }
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < kVectors; v++) {
                const Floats scale = multiply(load_floats(weights->scales[v]), spread(scales[t]));
                totals[t][v] = multiply_add(to_floats(sums[t][v]), scale, totals[t][v]);
            }
        }
    }
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < kVectors; v++) {
            store_some(results[t] + v * kLanes, totals[t][v], masks[v]);
        }
    }
}

using MultiplyStrip = decltype(&multiply_strip<1>);
constexpr MultiplyStrip kMultiply[kGroup + 1] = {
    nullptr,           multiply_strip<1>, multiply_strip<2>, multiply_strip<3>,
    multiply_strip<4>, multiply_strip<5>, multiply_strip<6>,
};

// `n_known`: of the tile's first rows, those whose results another tile gives.
void multiply_group(const Product & product, const Tile & tile, int64_t row, int n_known, Blocks blocks, int64_t group,
                    Ahead & ahead) {
    const int n_tokens = product.n_tokens_of(group);
    const int64_t place = product.place(group, blocks.first);
    for (int strip = 0; strip < kTile / kStrip; strip++) {
        Mask masks[kVectors];
        for (int v = 0; v < kVectors; v++) {
            masks[v] = mask_from(n_known - strip * kStrip - v * kLanes);
        }
        float * results[kGroup];
        for (int t = 0; t < n_tokens; t++) {
            results[t] = product.result(product.first_token(group) + t, row + strip * kStrip);
        }
        kMultiply[n_tokens](tile.strips[strip], blocks.last - blocks.first, product.quants + place * kBlock,
                           product.scales + place, results, masks, blocks.first > 0, ahead);
    }
}

// A share of the work: a tile of rows, and groups of tokens. The last tile begins earlier than where the one before it
// ends, unless the rows are a multiple of a tile's.
struct Share {
    int64_t row;
    int n_known;  // rows that are in the tile before, too
    int64_t first_group, last_group;
};

int64_t n_tiles(const Product & product) { return (product.n_rows + kTile - 1) / kTile; }

int64_t n_shares(const Product & product) {
    return n_tiles(product) * ((product.n_groups + kGroupsAtOnce - 1) / kGroupsAtOnce);
}

Share share_at(const Product & product, int64_t i) {
    const int64_t group = i / n_tiles(product) * kGroupsAtOnce, first = i % n_tiles(product) * kTile;
    const int64_t row = std::min(first, product.n_rows - kTile);
    return {row, (int) (first - row), group, std::min(group + kGroupsAtOnce, product.n_groups)};
}

int64_t n_ranges(const Product & product) { return (product.n_blocks + kMaxBlocks - 1) / kMaxBlocks; }

// The part of a row that is interleaved at once.
Blocks range_at(const Product & product, int64_t i) {
    return {i * product.n_blocks / n_ranges(product), (i + 1) * product.n_blocks / n_ranges(product)};
}

// Begin to get the first weights of a share from memory.
void fetch(const Product & product, const Share & share) {
    const int64_t size = range_at(product, 0).last * sizeof(block_q8_0);
    for (int64_t row = share.row; row < share.row + kTile; row++) {
        for (int64_t at = 0; at < size; at += 64) {
            _mm_prefetch(product.row(row) + at, _MM_HINT_T0);
        }
    }
}

// `next_row`: where this thread goes on afterwards. Those weights are fetched meanwhile: in short rows, and in many at
// a time, the processor does not foresee it. Measured: evenly over all steps, and in the order of addresses, is best.
void multiply_share(const Product & product, const Share & share, int64_t next_row) {
    Tile tile;
    const int64_t n_groups = share.last_group - share.first_group;
    const int64_t n_steps = product.n_blocks * (kTile / kLanes + n_groups * (kTile / kStrip));
    const char * next = product.row(next_row);
    Ahead ahead = {next, next, (kTile * product.weights->nb[1] + n_steps - 1) / n_steps};
    for (int64_t i = 0; i < n_ranges(product); i++) {
        const Blocks blocks = range_at(product, i);
        interleave(product, share.row, blocks, ahead, tile);
        for (int64_t group = share.first_group; group < share.last_group; group++) {
            multiply_group(product, tile, share.row, share.n_known, blocks, group, ahead);
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
           is_rows_of(inputs, GGML_TYPE_F32) && is_rows_of(dst, GGML_TYPE_F32) && inputs->ne[1] >= kMinTokens &&
           weights->ne[1] >= kTile;
}

}  // namespace

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
