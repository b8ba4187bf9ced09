"""python -m e2e.images build [--tag dev] [--only app|operator]"""

from __future__ import annotations

import argparse

from e2e.cluster.console import say
from e2e.cluster.errors import ClusterError

from . import base, engines
from .build import IMAGES, build
from .errors import ImageError


def main() -> int:
    """Entry point; returns the exit code."""
    arguments = parse()
    try:
        engine = engines.find(arguments.engine)
        chosen = base.choose(engine, arguments.base_image)
        for distribution in [arguments.only] if arguments.only else IMAGES:
            build(distribution, engine, chosen, tag=arguments.tag, force=arguments.force)
    except (ImageError, ClusterError) as error:
        say(f"images: {error}")
        return 1
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.images", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("build", help="build the images that are out of date")
    command.add_argument("--tag", default="dev", help="default: dev")
    command.add_argument("--only", choices=sorted(IMAGES), help="one of the two images")
    command.add_argument("--engine", choices=engines.NAMES, help="default: the first that works")
    command.add_argument("--base-image", help=f"default: {base.PUBLIC}, or one of Debian packages")
    command.add_argument("--force", action="store_true", help="build what is up to date as well")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
