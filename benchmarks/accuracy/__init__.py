"""How often diagnoses, fixes and decodings are right."""
