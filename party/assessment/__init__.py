"""Measured leakage: attackers fitted afresh on what one role received, judged on rows they were never given."""
