"""What a command ends with: 0 it is so, 1 it is not (yet), 2 the command line is wrong, 3 the API
server cannot be asked or refuses, 4 there is no such object.
"""

from __future__ import annotations

DONE = 0
NOT_READY = 1
USAGE = 2
REFUSED = 3
MISSING = 4


class Problem(Exception):
    """Ends the command; the message says what is wrong and what helps."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """Exit code."""
