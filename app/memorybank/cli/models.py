"""`memorybank model`: models for embedding, before anything is embedded."""

from __future__ import annotations

import argparse
import sys


def prepare(arguments: argparse.Namespace) -> int:
    """Make the built-in embedding model."""
    from memorybank.model.locate import cache_folder
    from memorybank.model.prepare import prepare as make

    def progress(step: str) -> None:
        sys.stderr.write(f"{step}\n")

    make(arguments.folder or cache_folder(), progress)
    return 0


def keep(arguments: argparse.Namespace) -> int:
    """Keep a model on an Ollama server answering, until a signal to stop."""
    from memorybank import logs
    from memorybank.errors import ConfigurationError
    from memorybank.loading.ollama import OllamaModel
    from memorybank.server.keeping import run

    if not 0 <= arguments.port < 65_536:
        raise ConfigurationError("--port must be at most 65535", field="port")
    if not arguments.url.startswith(("http://", "https://")):
        raise ConfigurationError(
            "--url must begin with http:// or https://", hint="such as http://127.0.0.1:11434"
        )
    logs.configure("info", "json")
    run(
        lambda: OllamaModel(
            arguments.url,
            arguments.model,
            keep_alive=arguments.keep_alive,
            file=arguments.file,
        ),
        host=arguments.host,
        port=arguments.port,
    )
    return 0
