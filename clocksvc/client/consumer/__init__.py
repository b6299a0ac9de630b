"""Consumers: the buffered one (flush in threads, commit after the flush, then report), and tables of topics."""
