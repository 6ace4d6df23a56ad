// Products with Q4_K and Q6_K weights, as they lie in the file. llama.cpp repacks Q4_K as a model is loaded, which
// costs a copy of the weights and makes prompts slow, and without it few tokens are slow.
// * One token: rows are multiplied as they lie in memory (matmul_k_one.h), which is what it waits for.
// * Several: as many rows as a vector has lanes are multiplied side by side (matmul_k_panel.h). Their blocks are
//   transposed as they are read, which costs as much as three tokens do; then an instruction multiplies four weights of
//   each row by the same four inputs, a sub-block is scaled once for all of these rows, and nothing is summed across
//   lanes.
// * Weights are read once for all tokens. llama.cpp reads them for each token, or unpacks them into memory for many.
// * The next rows are fetched in the order of memory while these are multiplied.
// Inputs are rounded to 8 bits with a scale for 256, as llama.cpp does (matmul_k_inputs.h); sums within a block are
// exact.

#include "matmul.h"
#include "matmul_k_one.h"
#include "matmul_k_panel.h"
#include "shares.h"

namespace puna {

#ifdef PUNA_AVX2
namespace {

using namespace k;

// Tokens that are multiplied by a group of rows before the next group is read.
constexpr int64_t kMostTokens = 256;

// Groups a thread takes at a time, at most: taking some costs as much as waiting for memory.
constexpr int64_t kMostGroups = 4;
constexpr int64_t kMostGroupsOfOne = 16;  // for one token, which waits for memory all the time

struct Product : MatrixProduct {
    Product(const ggml_compute_params * params, const ggml_tensor * dst)
        : MatrixProduct(dst), n_blocks(n_in / QK_K), n_groups((n_rows + kRows - 1) / kRows),
          n_groups_each(std::clamp<int64_t>(n_groups / (8 * params->nth), 1,
                                            n_tokens == 1 ? kMostGroupsOfOne : kMostGroups)),
          rounded((int32_t *) params->wdata) {}

    Rows group(int64_t index) const { return {weights[first_row(index)], weights.stride}; }

    // Of the last group, some rows may belong to the one before too.
    int64_t first_row(int64_t group) const { return std::min(group * kRows, n_rows - kRows); }

    // A tile of rounded inputs.
    template <class Weights> int32_t * tile(int64_t block, int64_t first_token) const {
        return rounded + (block * n_tokens + first_token) * kInputWords<Weights>;
    }

    int tile_size(int64_t first_token) const { return (int) std::min<int64_t>(kTile, n_tokens - first_token); }

    int64_t n_blocks, n_groups, n_groups_each;
    int32_t * rounded;  // inputs: blocks, within them tiles
};

// This thread's blocks of all tokens.
template <class Weights> void round_inputs(const Product & product, int ith, int nth) {
    const int64_t end = (ith + 1) * product.n_blocks / nth;
    for (int64_t block = ith * product.n_blocks / nth; block < end; block++) {
        for (int64_t token = 0; token < product.n_tokens; token++) {
            const int64_t in_tile = token % kTile, first = token - in_tile;
            int32_t * const to = product.tile<Weights>(block, first) + in_tile;
            round_block<Weights>(product.input(token) + block * QK_K, product.tile_size(first), to);
        }
    }
}

// `ahead`: of the rows that this thread multiplies after these.
template <class Weights>
void multiply_group(const Product & product, int64_t group, Prefetch ahead, int64_t first_token) {
    const int64_t end = std::min(first_token + kMostTokens, product.n_tokens);
    const Rows rows = product.group(group);
    alignas(64) float sums[kMostTokens][kRows];
    memset(sums, 0, (end - first_token) * sizeof sums[0]);
    for (int64_t block = 0; block < product.n_blocks; block++) {
        Panel panel;
        unpack(Weights(), rows, block * sizeof(typename Weights::Block), ahead, panel);
        for (int64_t t = first_token; t < end; t += kTile) {
            add_tile<Weights>(product.tile_size(t), panel, product.tile<Weights>(block, t), sums + (t - first_token));
        }
    }
    const int64_t first_row = product.first_row(group);
    const Mask own = lanes_from((int) (group * kRows - first_row));
    for (int64_t t = first_token; t < end; t++) {
        store(product.output(t, first_row), load(sums[t - first_token]), own);
    }
}

#ifdef PUNA_MATMUL_AVX512
template <class Weights> void multiply_group_by_one(const Product & product, int64_t group, Prefetch ahead) {
    float sums[kRows];
    multiply_one<Weights>(product.group(group), product.n_blocks, product.rounded, ahead, sums);
    const int64_t first_row = product.first_row(group);
    store(product.output(0, first_row), load(sums), lanes_from((int) (group * kRows - first_row)));
}
#endif

template <class Weights> void multiply_group(const Product & product, int64_t group, int64_t next) {
    const Prefetch ahead(product.group(next < product.n_groups ? next : group).first);
#ifdef PUNA_MATMUL_AVX512
    if (product.n_tokens == 1) {
        return multiply_group_by_one<Weights>(product, group, ahead);
    }
#endif
    for (int64_t token = 0; token < product.n_tokens; token += kMostTokens) {
        multiply_group<Weights>(product, group, ahead, token);
    }
}

template <class Weights> void multiply(const ggml_compute_params * params, const Product & product) {
    round_inputs<Weights>(product, params->ith, params->nth);
    meet_before_shares(params);
    const int64_t n_each = product.n_groups_each, n_shares = (product.n_groups + n_each - 1) / n_each;
    for_each_share(params, n_shares, [&](int64_t share, int64_t next_share) {
        const int64_t end = std::min((share + 1) * n_each, product.n_groups);
        for (int64_t group = share * n_each; group < end; group++) {
            multiply_group<Weights>(product, group, group + 1 < end ? group + 1 : next_share * n_each);
        }
    });
}

bool is_taken(const ggml_tensor * dst) {
    return (is_product_with(GGML_TYPE_Q4_K, dst) || is_product_with(GGML_TYPE_Q6_K, dst)) &&
           dst->src[0]->ne[1] >= kRows;
}

}  // namespace

size_t multiply_k_work_size(const ggml_tensor * dst) {
    if (!is_taken(dst)) {
        return 0;
    }
    const int n_words = dst->src[0]->type == GGML_TYPE_Q4_K ? kInputWords<Q4K> : kInputWords<Q6K>;
    return ggml_nelements(dst->src[1]) / QK_K * n_words * sizeof(int32_t);
}

bool multiply_k(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_taken(dst) || params->wsize < multiply_k_work_size(dst)) {
        return false;
    }
    const Product product(params, dst);
    dst->src[0]->type == GGML_TYPE_Q4_K ? multiply<Q4K>(params, product) : multiply<Q6K>(params, product);
    return true;
}

#else

size_t multiply_k_work_size(const ggml_tensor *) {
    return 0;
}

bool multiply_k(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

#endif

}  // namespace puna
