"""The use cases, the same for every face. They know Protocols and domain objects only."""
