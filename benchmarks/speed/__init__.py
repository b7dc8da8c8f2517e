"""What commands cost, in time and memory, beside their peers."""
