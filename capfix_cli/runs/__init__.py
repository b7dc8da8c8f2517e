"""Runs on disk: .capfix/runs/<id>/, one folder a diagnosis."""
