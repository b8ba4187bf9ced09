"""What agents work with, each a memory of its own type: the rules, pure."""
