"""kopf decorators, and nothing behind them but a cache entry and a bank's name in the queue."""
