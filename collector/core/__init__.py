"""Decides without doing: pure, synchronous code that takes the clock and the random source as arguments."""
