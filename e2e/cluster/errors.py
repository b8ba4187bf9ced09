"""What can go wrong with a cluster, in sentences for the person at the keyboard."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """Something is missing or did not come up; the message says what, and what helps."""
