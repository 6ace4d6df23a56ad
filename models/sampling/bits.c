#include <stdint.h>

// Which of n tokens have their bit set, in their order, and how many those are; `capacity` + 1 where there are more.
__attribute__((visibility("default"))) int64_t puna_list_bits(const uint32_t *bits, int64_t n, int64_t *tokens,
                                                              int64_t capacity) {
    int64_t n_listed = 0;
    for (int64_t first = 0; first < n; first += 32)
        for (uint32_t left = bits[first / 32]; left; left &= left - 1) {
            const int64_t token = first + __builtin_ctz(left);
            if (token >= n) break;
            if (n_listed == capacity) return capacity + 1;
            tokens[n_listed++] = token;
        }
    return n_listed;
}
