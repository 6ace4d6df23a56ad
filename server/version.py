"""Which version of Ollama this server stands for: clients and registries ask for it, and some require a minimum."""

VERSION = "0.33.0"
