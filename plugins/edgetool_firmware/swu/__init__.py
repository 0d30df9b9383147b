"""`swu`: updates for SWUpdate."""
