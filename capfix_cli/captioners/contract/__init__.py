"""Whether a captioner keeps the contract, clause by clause."""
