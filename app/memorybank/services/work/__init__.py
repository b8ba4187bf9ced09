"""What agents work with. Each thing is a memory: it is written by Adding and Life alone."""
