"""A pickle reader that runs nothing and cannot be made to spend without bound."""
