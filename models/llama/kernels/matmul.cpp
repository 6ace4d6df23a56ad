// Which kernel computes a matrix product: the first that takes it, else llama.cpp's.

#include "matmul.h"

#include <algorithm>

#include "tiled/tiled.h"

extern "C" {

bool llama_cpp_mul_mat_tiled(const ggml_compute_params * params, ggml_tensor * dst);
size_t llama_cpp_tiled_wdata_size(int n_tasks, ggml_tensor * dst);

bool ggml_compute_forward_mul_mat_tiled(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!params->use_ref && (puna::multiply_q8(params, dst) || puna::multiply_k(params, dst))) {
        return true;
    }
    return llama_cpp_mul_mat_tiled(params, dst);
}

// ggml adds this to the memory for inputs converted to the weights' vec_dot_type, and the kernels share all of it.
size_t ggml_tiled_wdata_size(int n_tasks, ggml_tensor * dst) {
    return std::max({
        llama_cpp_tiled_wdata_size(n_tasks, dst),
        puna::multiply_q8_work_size(dst),
        puna::multiply_k_work_size(dst),
    });
}

}  // extern "C"
