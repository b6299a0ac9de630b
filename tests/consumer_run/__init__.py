"""A BufferedConsumer under `ConsumerRun`: many interleavings, and deliberate defects that they must find."""
