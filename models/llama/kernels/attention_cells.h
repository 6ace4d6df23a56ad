// Which cells a token sees, by its row of the mask: what is not -inf there. Without a mask it sees all.
#pragma once

#include <cstring>

#include "attention_loops.h"

#ifdef PUNA_AVX2

namespace puna::attention {

constexpr int kDenseCells = 32;   // a tile: the bits of a word
constexpr int kSparseCells = 64;  // a row's sums are loaded and stored once for so many cells

constexpr uint16_t kMinusInfinityF16 = 0xfc00;

// One bit for each of n cells, a tile or what is left of one.
inline uint32_t seen_bits(const ggml_fp16_t * mask, int first, int n) {
    if (n == kDenseCells) {
        return mask ? others(mask + first, kMinusInfinityF16) : UINT32_MAX;
    }
    const uint32_t existing = (1u << n) - 1;
    if (!mask) {
        return existing;
    }
    ggml_fp16_t whole[kDenseCells] = {};
    memcpy(whole, mask + first, n * sizeof *mask);
    return others(whole, kMinusInfinityF16) & existing;
}

// Cells that a token sees and that wait to be computed, with the values of its mask.
struct Seen {
    int n;
    int32_t cells[kSparseCells + kDenseCells];
    ggml_fp16_t biases[kSparseCells + kDenseCells];

    void append(uint32_t bits, int first, const ggml_fp16_t * mask) {
        if (bits == UINT32_MAX) {
            for (int i = 0; i < 32; i++) cells[n + i] = first + i;
            mask ? memcpy(biases + n, mask + first, 32 * sizeof(*mask)) : memset(biases + n, 0, 32 * sizeof(*mask));
            n += 32;
            return;
        }
        for (; bits; bits &= bits - 1) {
            const int cell = first + __builtin_ctz(bits);
            cells[n] = cell;
            biases[n++] = mask ? mask[cell] : 0;
        }
    }

    // The first 64 are computed: what is left moves to the front.
    void drop_computed() {
        const int left = std::max(0, n - kSparseCells);
        memmove(cells, cells + kSparseCells, left * sizeof(*cells));
        memmove(biases, biases + kSparseCells, left * sizeof(*biases));
        n = left;
    }
};

}  // namespace puna::attention

#endif
