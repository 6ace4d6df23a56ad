# syntax=docker/dockerfile:1
#
#   docker build -t puna .                                  CPU, any machine of the architecture
#   docker build -t puna:cuda --build-arg BACKEND=cuda .    NVIDIA GPUs; run with --gpus all
#   docker run -d -p 11434:11434 -v puna:/home/puna/.ollama puna
#
# The image must run on machines other than the one that builds it. llama.cpp is therefore compiled without
# -march=native, with one CPU library for each processor generation (GGML_CPU_ALL_VARIANTS, which needs
# GGML_BACKEND_DL): models/llama loads the best one that the machine can run when a runner starts.

ARG BACKEND=cpu

FROM debian:bookworm-slim AS build-on-cpu
FROM nvidia/cuda:12.9.1-devel-ubuntu24.04 AS build-on-cuda

FROM debian:bookworm-slim AS run-on-cpu
FROM nvidia/cuda:12.9.1-runtime-ubuntu24.04 AS run-on-cuda

# ---------------------------------------------------------------------------------------------------------------------
FROM build-on-${BACKEND} AS build
ARG BACKEND
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates cmake g++ ninja-build python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/puna
ENV PYTHON=python3 UV_NO_DEV=1 UV_NO_EDITABLE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON"
# The dependencies first: compiling llama.cpp takes minutes and is repeated only when one of these files changes.
COPY pyproject.toml uv.lock ./
COPY tools/setup.sh tools/
COPY models/llama/kernels models/llama/kernels
COPY models/sampling/*.[ch] models/sampling/
RUN UV_NO_INSTALL_PROJECT=1 tools/setup.sh "$BACKEND"
COPY README.md LICENSE ./
COPY server server
COPY registry registry
COPY models models
RUN tools/setup.sh "$BACKEND"

# ---------------------------------------------------------------------------------------------------------------------
FROM run-on-${BACKEND}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /home/puna --shell /usr/sbin/nologin puna \
    && install --directory --owner=puna --group=puna /home/puna/.ollama
# At the path where it was made: the scripts in a virtual environment name it.
COPY --from=build /opt/puna/.venv /opt/puna/.venv
ENV PATH=/opt/puna/.venv/bin:$PATH OLLAMA_HOST=0.0.0.0:11434 PYTHONUNBUFFERED=1
USER puna
WORKDIR /home/puna
VOLUME /home/puna/.ollama
EXPOSE 11434
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["puna", "ps"]
ENTRYPOINT ["puna"]
CMD ["serve"]
