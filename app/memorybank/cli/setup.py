"""`memorybank init`: everything that a bank of one's own needs, in one folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from memorybank.auth import tokens
from memorybank.cli.config import template, write_new
from memorybank.cli.show import show
from memorybank.settings import default_data_folder


def init(arguments: argparse.Namespace) -> int:
    """Make the folder, the configuration and the admin key; nothing that is there is changed."""
    folder: Path = (arguments.data or default_data_folder()).absolute()
    config, key = folder / "config.yaml", folder / "admin.key"
    write_new(key, f"{tokens.generate()}\n", mode=0o600)
    write_new(config, template(), mode=0o644)
    serve = f"memorybank serve --data {folder} --config {config}"
    text = "\n".join(
        [
            f"made {config} and {key}; next:",
            "",
            f"  export MEMORY_BANK_ADMIN_KEY_FILE={key} MEMORY_BANK_KEY_FILE={key}",
            f"  {serve} &",
            '  memorybank store "The first thing worth remembering."',
        ]
    )
    show(arguments, {"data": str(folder), "config": str(config), "admin_key_file": str(key)}, text)
    return 0
