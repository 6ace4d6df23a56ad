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
#include "matmul_q8_tile.h"
#include "shares.h"

#include "quants.h"
#include "simd-mappings.h"

namespace puna {

#ifdef PUNA_AVX2
namespace {

using namespace q8;

constexpr int kMinTokens = 2;      // one token is bound by memory, and llama.cpp's reading is as quick
constexpr int kGroupsAtOnce = 42;  // for which rows are interleaved once: their inputs stay in the L2 cache

// With its inputs in work memory: groups of almost equally many tokens, which stand together block by block, so that a
// group is read from its beginning to its end.
struct Product : MatrixProduct {
    int64_t n_blocks, n_groups;
    uint8_t * quants;  // 32 for each token and block
    float * scales;    // one for each token and block

    Product(const ggml_tensor * dst, void * work)
        : MatrixProduct(dst), n_blocks(n_in / kBlock), n_groups((n_tokens + kGroup - 1) / kGroup),
          quants((uint8_t *) work), scales((float *) (quants + n_tokens * n_blocks * kBlock)) {}

    int64_t first_token(int64_t group) const { return group * n_tokens / n_groups; }
    int n_tokens_of(int64_t group) const { return (int) (first_token(group + 1) - first_token(group)); }
    // Where a block of a group's first token stands among those of all.
    int64_t place(int64_t group, int64_t block) const {
        return first_token(group) * n_blocks + block * n_tokens_of(group);
    }
};

size_t work_size(const ggml_tensor * dst) {
    return ggml_nelements(dst->src[1]) / kBlock * (kBlock + sizeof(float));
}

void quantize(const Product & product, int64_t group, int64_t block) {
    const int64_t first = product.first_token(group), place = product.place(group, block);
    for (int i = 0; i < product.n_tokens_of(group); i++) {
        block_q8_0 found;
        quantize_row_q8_0(product.input(first + i) + block * kBlock, &found, kBlock);
        product.scales[place + i] = GGML_CPU_FP16_TO_FP32(found.d);
        for (int n = 0; n < kBlock; n++) {
            product.quants[(place + i) * kBlock + n] = (uint8_t) (found.qs[n] + (kUnsignedInputs ? 128 : 0));
        }
    }
}

// This thread's part of the inputs: so many blocks of groups.
void quantize_part(const Product & product, int ith, int nth) {
    const int64_t n = product.n_groups * product.n_blocks;
    for (int64_t i = n * ith / nth; i < n * (ith + 1) / nth; i++) {
        quantize(product, i / product.n_blocks, i % product.n_blocks);
    }
}

// A share of the work: a tile of rows, and groups of tokens. The last tile begins earlier than where the one before it
// ends, unless the rows are a multiple of a tile's.
struct Share {
    int64_t row;
    int n_known;  // rows that are in the tile before, too: it gives their results
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
    for (int64_t row = share.row; row < share.row + kTile; row++) {
        Prefetch(product.weights[row]).bytes(range_at(product, 0).last * sizeof(block_q8_0));
    }
}

void multiply_group(const Product & product, const Tile & tile, const Share & share, Blocks blocks, int64_t group,
                    Prefetch & ahead, size_t next_bytes) {
    const int n_tokens = product.n_tokens_of(group);
    const int64_t place = product.place(group, blocks.first);
    for (int strip = 0; strip < kTile / kStrip; strip++) {
        Mask masks[kVectors];
        for (int v = 0; v < kVectors; v++) {
            masks[v] = lanes_from(share.n_known - strip * kStrip - v * kLanes);
        }
        float * results[kGroup];
        for (int t = 0; t < n_tokens; t++) {
            results[t] = product.output(product.first_token(group) + t, share.row + strip * kStrip);
        }
        kMultiplyStrip[n_tokens](tile.strips[strip], blocks.n(), product.quants + place * kBlock,
                                 product.scales + place, results, masks, blocks.first > 0, ahead, next_bytes);
    }
}

// `next_row`: where this thread goes on afterwards. Those weights are fetched meanwhile: in short rows, and in many at
// a time, the processor does not foresee it. Measured: evenly over all steps, and in the order of addresses, is best.
void multiply_share(const Product & product, const Share & share, int64_t next_row) {
    Tile tile;
    const Rows rows = {product.weights[share.row], product.weights.stride};
    const int64_t n_groups = share.last_group - share.first_group;
    const int64_t n_steps = product.n_blocks * (kTile / kLanes + n_groups * (kTile / kStrip));
    const size_t next_bytes = (kTile * rows.stride + n_steps - 1) / n_steps;
    Prefetch ahead(product.weights[next_row]);
    for (int64_t i = 0; i < n_ranges(product); i++) {
        const Blocks blocks = range_at(product, i);
        interleave(rows, blocks, ahead, next_bytes, tile);
        for (int64_t group = share.first_group; group < share.last_group; group++) {
            multiply_group(product, tile, share, blocks, group, ahead, next_bytes);
        }
    }
}

bool is_taken(const ggml_tensor * dst) {
    return is_product_with(GGML_TYPE_Q8_0, dst) && dst->src[1]->ne[1] >= kMinTokens && dst->src[0]->ne[1] >= kTile;
}

}  // namespace

bool multiply_q8(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_taken(dst) || params->wsize < work_size(dst)) {
        return false;
    }
    const Product product(dst, params->wdata);
    const int64_t n = n_shares(product);
    if (params->ith < n) {
        fetch(product, share_at(product, params->ith));
    }
    quantize_part(product, params->ith, params->nth);
    meet_before_shares(params);
    for_each_share(params, n, [&](int64_t i, int64_t next) {
        const Share share = share_at(product, i);
        multiply_share(product, share, next < n ? share_at(product, next).row : share.row);
    });
    return true;
}

size_t multiply_q8_work_size(const ggml_tensor * dst) {
    // Added to what ggml plans in any case: the inputs as Q8_0.
    return is_taken(dst) ? work_size(dst) - ggml_row_size(GGML_TYPE_Q8_0, ggml_nelements(dst->src[1])) : 0;
}

#else

bool multiply_q8(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

size_t multiply_q8_work_size(const ggml_tensor *) {
    return 0;
}

#endif

}  // namespace puna
