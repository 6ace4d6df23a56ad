# The two commands that matter: `make serve` starts Puna, `make test` runs the tests. Both set everything up first.
# BACKEND chooses how llama.cpp is compiled (cpu, cuda, vulkan, metal, rocm); the choice is kept until another is made.

BACKEND ?=
BIN := .venv/bin

.PHONY: help setup clients serve demo test test-model test-gpu test-clients conformance check lint type format bench image
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv, compile llama.cpp (BACKEND=cpu|cuda|vulkan|metal|rocm)
	@tools/setup.sh $(BACKEND)

serve: setup ## start the server on 127.0.0.1:11434 (or OLLAMA_HOST), with the built-in model in its store
	@$(BIN)/puna serve --with-builtin

demo: setup ## start a server on a free port, ask the built-in model some questions, stop it
	@$(BIN)/python -m tools.demo

clients: setup ## install the client libraries that the tests try (Node's ones when Node is there)
	@tools/clients.sh

test: clients ## run all tests that need no GPU
	@$(BIN)/pytest -m "not gpu"

test-model: setup ## run only the tests that load a model
	@$(BIN)/pytest -m "model and not gpu"

test-gpu: setup ## run the tests that need a GPU (make setup BACKEND=…, first)
	@$(BIN)/pytest -m gpu

test-clients: clients ## run only the tests with real client libraries
	@$(BIN)/pytest tests/clients

conformance: setup ## replay the recorded exchanges of Ollama, print what differs (SESSIONS="file or folder …" chooses)
	@$(BIN)/python -m tests.conformance $(SESSIONS)

check: lint type test ## what must pass before a commit lands

lint: setup ## ruff: rules and formatting; the lock file fits pyproject.toml
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@.cache/tools/bin/uv lock --check --quiet

type: setup ## mypy --strict
	@$(BIN)/mypy

format: setup ## ruff: fix and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## measure against llama-server (built once, some minutes); CASES="one-stream … --gpu" chooses
	@$(BIN)/python -m bench $(CASES)

image: ## build the container image puna (CUDA: IMAGE_ARGS="--build-arg BACKEND=cuda")
	docker build --tag puna $(IMAGE_ARGS) .
