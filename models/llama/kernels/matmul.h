// Matrix products that take the place of ggml's own: one function to ask for the work memory, one to compute.
#pragma once

#include <cstddef>

#include "ggml-cpu-impl.h"

namespace puna {

// Q8_0 weights, two tokens and more.
bool multiply_q8(const ggml_compute_params * params, ggml_tensor * dst);
size_t multiply_q8_work_size(const ggml_tensor * dst);

// Q4_K and Q6_K weights, few tokens.
bool multiply_k(const ggml_compute_params * params, ggml_tensor * dst);
size_t multiply_k_work_size(const ggml_tensor * dst);

}  // namespace puna
