"""The work that recurs: each job plans purely, then acts idempotently."""
