"""Who may call a provider now: the pool, its leases, and the limits every lease takes a token from."""
