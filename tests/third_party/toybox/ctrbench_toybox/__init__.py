"""Toys for ctrbench."""
