"""Formulas that have a name in a paper: tensors in, tensors out."""
