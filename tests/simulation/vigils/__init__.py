"""What lasts: conditions under which the clock must hold and say why, and some under which it must go on all the same.

Each is begun in a calm world, so that there is one right answer.
"""
