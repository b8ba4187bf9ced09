"""python -m e2e.images build [--tag dev] [--only app|operator]
python -m e2e.images sbom [--tag dev] [--only app|operator] [--output dist/sbom]
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster.console import say
from e2e.cluster.errors import ClusterError

from . import base, engines, sbom
from .build import IMAGES, PREFIX, build
from .errors import ImageError


def main() -> int:
    """Entry point; returns the exit code."""
    arguments = parse()
    try:
        engine = engines.find(arguments.engine)
        distributions = [arguments.only] if arguments.only else [*IMAGES]
        if arguments.command == "sbom":
            tell(distributions, engine, arguments)
        else:
            chosen = base.choose(engine, arguments.base_image)
            for distribution in distributions:
                build(distribution, engine, chosen, tag=arguments.tag, force=arguments.force)
    except (ImageError, ClusterError) as error:
        say(f"images: {error}")
        return 1
    return 0


def tell(distributions: Iterable[str], engine: engines.Engine, arguments: Namespace) -> None:
    """Write what is in images, and say where."""
    for distribution in distributions:
        image = f"{PREFIX}{IMAGES[distribution]}:{arguments.tag}"
        for file in sbom.write(distribution, engine, image, arguments.output):
            say(f"{image}: {file}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.images", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    command = commands.add_parser("build", help="build the images that are out of date")
    bill = commands.add_parser("sbom", help="tell what is in them, as CycloneDX, with licences")
    for each in (command, bill):
        each.add_argument("--tag", default="dev", help="default: dev")
        each.add_argument("--only", choices=sorted(IMAGES), help="one of the two images")
        each.add_argument("--engine", choices=engines.NAMES, help="default: the first that works")
    bill.add_argument("--output", type=Path, default=Path("dist/sbom"), help="default: dist/sbom")
    command.add_argument("--base-image", help=f"default: {base.PUBLIC}, or one of Debian packages")
    command.add_argument("--force", action="store_true", help="build what is up to date as well")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
