"""Seeded mistakes: each breaks one promise in one line, and a named test must catch it."""
