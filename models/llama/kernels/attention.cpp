#include "ops.h"

extern "C" {
void llama_cpp_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    llama_cpp_flash_attn_ext(params, dst);
}
}
