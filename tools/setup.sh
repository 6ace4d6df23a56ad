#!/bin/sh
# Make .venv hold exactly what uv.lock says, with llama.cpp compiled for the chosen backend.
#
#   tools/setup.sh [cpu|cuda|vulkan|metal|rocm]      default: the backend chosen last time, else cpu
#
# PYTHON names the interpreter (3.11 or newer; default: the newest on the PATH), CMAKE_ARGS adds options for llama.cpp.
# A run with nothing to do costs two hashes, and one empty file to the compiler. A change of the backend, of CMAKE_ARGS,
# CFLAGS or CXXFLAGS, of what the compiler can do, of the kernels, or of the lock file repeats the set-up.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
TOOLS=.cache/tools # uv lives in an environment of its own: .venv holds only what the lock file names
STAMP=.venv/puna-setup # a hash of all that decides what .venv holds
BUILT=.venv/puna-build # of the llama.cpp that is installed: backend, options and flags; C flags; C++ flags

built=
[ ! -e $BUILT ] || IFS= read -r built <$BUILT || true
backend=${1:-${built%% *}}
backend=${backend:-cpu}
case $backend in
    cpu) backend_args= ;;
    cuda) backend_args=-DGGML_CUDA=ON ;;
    vulkan) backend_args=-DGGML_VULKAN=ON ;;
    metal) backend_args=-DGGML_METAL=ON ;;
    rocm) backend_args=-DGGML_HIP=ON ;;
    *) echo "BACKEND=$backend is not known; choose cpu, cuda, vulkan, metal or rocm." >&2; exit 2 ;;
esac
# llama.cpp's own build instead of the bindings' one: it leaves out what they do not load (a third of the time).
case $(uname) in Darwin) here=@loader_path ;; *) here='$ORIGIN' ;; esac
build_args="-DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_MTMD=ON -DLLAMA_BUILD_TOOLS=OFF
-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF
-DLLAMA_SUBPROCESS=OFF -DLLAMA_ALL_WARNINGS=OFF -DCMAKE_INSTALL_RPATH=$here -DCMAKE_INSTALL_BINDIR=llama_cpp/lib
-DCMAKE_INSTALL_LIBDIR=llama_cpp/lib -DCMAKE_INSTALL_INCLUDEDIR=llama_cpp/include $backend_args ${CMAKE_ARGS:-}"
# Weights are read four rows at a time, which the prefetching of processors does not follow; GCC's does, ahead by what
# memory takes. Measured (docs/benchmarks.md): with Q8_0 a step of 8 sequences takes two thirds of the time.
prefetch="-fprefetch-loop-arrays --param=prefetch-latency=1000 --param=simultaneous-prefetches=64
--param=prefetch-min-insn-to-mem-ratio=1 --param=min-insn-to-prefetch-ratio=1"
compiles() { echo 'int x;' | "$@" -Werror $prefetch -x c -c -o /dev/null - 2>/dev/null; } # Clang knows none of these
[ "$(uname -m)" = x86_64 ] && compiles ${CC:-cc} && compiles ${CXX:-c++} || prefetch=
c_flags=$(echo ${CFLAGS:-} $prefetch)
cxx_flags=$(echo ${CXXFLAGS:-} $prefetch)
sha() { if command -v sha256sum; then set -- sha256sum; else set -- shasum -a 256; fi >/dev/null; "$@" | cut -d' ' -f1; }
# Puna's own kernels (models/llama/kernels/kernels.cmake), compiled from a copy whose name tells what is in it: uv keeps
# what it built by the options, of which that name is one, and finds it again from any checkout.
KERNELS="models/llama/kernels/* models/sampling/*.[ch]"
kernels=$(cat $KERNELS | sha)
kernels_at=${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/puna/kernels-$kernels
build=$(echo "$backend" $build_args "kernels=$kernels" "$c_flags" "$cxx_flags")

wanted=$( (cat pyproject.toml uv.lock tools/setup.sh; echo "$build"; pwd) | sha)
if [ -x .venv/bin/puna ] && [ "$(cat $STAMP 2>/dev/null)" = "$wanted" ]; then exit 0; fi

# ---------------------------------------------------------------------------------------------------------------------
# What the machine must have

packages=
notes=
need() { packages="$packages $1"; }
note() { notes="$notes  $1
"; }
has() { command -v "$1" >/dev/null 2>&1; }
recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if has "$candidate" && recent "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    found=$(${PYTHON:-python3} --version 2>&1 || true)
    note "Python 3.11 or newer is needed; found: ${found:-none}"
    need python3.11; need python3.11-venv
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
has "${CXX:-c++}" || has g++ || has clang++ || need g++
has cmake || need cmake
has make || has ninja || need make
case $backend in
    cuda) has nvcc || { need nvidia-cuda-toolkit; note "nvcc is not on the PATH (NVIDIA's own packages put it in /usr/local/cuda/bin)"; } ;;
    vulkan)
        has glslc || need glslc
        [ -e /usr/include/vulkan/vulkan.h ] || [ -n "${VULKAN_SDK:-}" ] || need libvulkan-dev
        [ -d /usr/include/spirv ] || [ -n "${VULKAN_SDK:-}" ] || need spirv-headers ;;
    rocm) has hipcc || { need hipcc; note "ROCm is also packaged by AMD: see their installation guide"; } ;;
    metal) [ "$(uname)" = Darwin ] || { echo "BACKEND=metal needs macOS." >&2; exit 2; } ;;
esac
if [ -n "$packages$notes" ]; then
    {
        echo "Puna cannot be set up yet: something is missing on this machine."
        printf '%s' "$notes"
        [ -z "$packages" ] || echo "On Debian and Ubuntu:  sudo apt-get install$packages"
        [ "$(uname)" != Darwin ] || echo "On macOS:  xcode-select --install && brew install cmake python"
    } >&2
    exit 1
fi

# ---------------------------------------------------------------------------------------------------------------------
# The environment

uv=$TOOLS/bin/uv
if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != $UV_VERSION ]; then
    echo "Installing uv $UV_VERSION into $TOOLS"
    rm -rf $TOOLS
    "$python" -m venv $TOOLS
    $TOOLS/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
fi

jobs() { # one compiler for each core, but not more than memory allows at 1.5 GB each
    cores=$(getconf _NPROCESSORS_ONLN)
    pages=$(getconf _AVPHYS_PAGES 2>/dev/null || getconf _PHYS_PAGES 2>/dev/null || echo 0)
    fits=$((pages * $(getconf PAGESIZE) / 1500000000))
    [ "$fits" -ge 1 ] && [ "$fits" -lt "$cores" ] && echo "$fits" || echo "$cores"
}
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(jobs)}"
export UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never
unset CMAKE_ARGS VIRTUAL_ENV # uv would not see the former in its cache key; it is among the settings below

echo "Setting up .venv with llama.cpp for $backend (compiling that takes some minutes the first time)"
rm -f $STAMP
if [ -e $BUILT ] && [ "$built" != "$build" ]; then
    "$uv" pip uninstall --quiet --python .venv llama-cpp-python # uv would keep it: its version is the same
fi
[ -e "$kernels_at" ] || { mkdir -p "$kernels_at.new" && cp $KERNELS "$kernels_at.new" && mv "$kernels_at.new" "$kernels_at"; }
set -- sync --frozen --python "$python" --config-settings-package llama-cpp-python:cmake.source-dir=vendor/llama.cpp
for arg in "-DCMAKE_C_FLAGS=$c_flags" "-DCMAKE_CXX_FLAGS=$cxx_flags" \
    "-DCMAKE_PROJECT_ggml_INCLUDE=$kernels_at/kernels.cmake" $build_args; do
    set -- "$@" --config-settings-package "llama-cpp-python:cmake.args=$arg"
done
"$uv" "$@"
printf '%s\n' "$build" "$c_flags" "$cxx_flags" >$BUILT # benchmarks tell what they measured
echo "$wanted" >$STAMP
