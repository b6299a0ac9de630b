"""The example of a consumer in Java."""
