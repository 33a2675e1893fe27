"""Where sessions come from: one package for each API, each with one library to the network."""
