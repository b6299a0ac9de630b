"""The judge: decides from bytes, calls and the truth which promises were broken. Shares no code with the product."""
