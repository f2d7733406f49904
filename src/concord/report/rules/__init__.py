"""What is worth saying, by subject; :mod:`concord.report.findings` runs them all."""
