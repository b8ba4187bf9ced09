"""What backups keep, bring back and cost."""
