"""The buffered consumer: process, buffer, flush in threads, commit after the flush, report after the commit."""
