"""The leader's way: lease, fence, recovery, step; each trouble leads back to the step that heals it."""
