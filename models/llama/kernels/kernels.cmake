# Puna's kernels in llama.cpp's build: CMake reads this file where ggml's project begins (CMAKE_PROJECT_ggml_INCLUDE).
#
# A kernel takes the place of a function of ggml's CPU backend. That function is compiled under another name, under
# which the kernel calls it for whatever it does not do itself; no source of llama.cpp is changed. Sampling's passes
# over the vocabulary become a library beside those. tools/setup.sh puts all sources into the folder of this file.

if(CMAKE_VERSION VERSION_LESS 3.19)
    message(WARNING "Puna's kernels need CMake 3.19: llama.cpp is compiled without them")
    return()
endif()

set(PUNA_KERNELS "${CMAKE_CURRENT_LIST_DIR}")

function(puna_rename file function name)
    set_property(SOURCE "${PROJECT_SOURCE_DIR}/src/${file}" DIRECTORY "${PROJECT_SOURCE_DIR}/src"
        APPEND PROPERTY COMPILE_DEFINITIONS "${function}=${name}")
endfunction()

function(puna_add_kernels)
    puna_rename(ggml-cpu/ops.cpp ggml_compute_forward_flash_attn_ext llama_cpp_flash_attn_ext)
    puna_rename(ggml-cpu/tiled/tiled.cpp ggml_compute_forward_mul_mat_tiled llama_cpp_mul_mat_tiled)
    puna_rename(ggml-cpu/tiled/tiled.cpp ggml_tiled_wdata_size llama_cpp_tiled_wdata_size)
    # One target, or one for each generation of processors.
    file(GLOB sources "${PUNA_KERNELS}/*.cpp")
    get_property(targets DIRECTORY "${PROJECT_SOURCE_DIR}/src" PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
        if(target MATCHES "^ggml-cpu" AND NOT target MATCHES "feats$")
            target_sources(${target} PRIVATE ${sources})
            target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src/ggml-cpu")
        endif()
    endforeach()
endfunction()

function(puna_add_sampling)
    add_library(puna_sampling SHARED)
    foreach(name bits choose narrowing passes passing shortlist)
        target_sources(puna_sampling PRIVATE "${PUNA_KERNELS}/${name}.c")
    endforeach()
    target_compile_options(puna_sampling PRIVATE -O3 -fno-math-errno -fno-trapping-math -fopenmp-simd)
    target_compile_options(puna_sampling PRIVATE -ffp-contract=fast -fvisibility=hidden)
    if(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        target_compile_options(puna_sampling PRIVATE -fno-prefetch-loop-arrays -mprefer-vector-width=512)
    endif()
    target_link_libraries(puna_sampling PRIVATE m)
    install(TARGETS puna_sampling LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endfunction()

cmake_language(DEFER DIRECTORY "${PROJECT_SOURCE_DIR}" CALL puna_add_kernels)
cmake_language(DEFER DIRECTORY "${PROJECT_SOURCE_DIR}" CALL puna_add_sampling)
