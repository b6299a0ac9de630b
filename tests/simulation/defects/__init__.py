"""Deliberate defects: each a small patch of the product, which the simulation must find.

A net with a hole would let the defect through. `python -m tests.simulation.defects` says after how many seeds each one
was found, and with which words. Nothing here is ever applied outside of its own context.
"""
