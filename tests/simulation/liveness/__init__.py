"""Conditions that last: under most the clock must hold and name the reason, under some it must go on.

Each begins in a calm environment, so that there is one right answer.
"""
