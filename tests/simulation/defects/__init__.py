"""Deliberate defects: each is a small patch of the product that the simulation must find.

`python -m tests.simulation.defects` shows after how many seeds each one was found, and the message.
"""
