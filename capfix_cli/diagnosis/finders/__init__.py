"""Finders of causes, one small module each: a pure function from a case to a finding."""
