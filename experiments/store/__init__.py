"""The control plane: typed SQL tables, the milestones, the job ledger."""
