"""Progress from committed offsets: what a consumer group has processed, without a line of code in its consumers."""
