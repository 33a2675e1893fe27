"""Exit codes of the download program, for it and for its caller; apart, because only the program imports jgo."""

FETCHED = 0
UNAVAILABLE = 1  # also what the interpreter says after an exception that nobody foresaw
BROKEN = 3
