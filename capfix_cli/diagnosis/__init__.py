"""Numbers and evidence give a verdict, causes and a walk down the decision tree."""
