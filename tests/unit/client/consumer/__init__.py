"""Tests of the consumers that applications embed."""
