"""A log before any training: what its files are, what a config would read of them, and what is odd.

`rosa init` looks at heads of files and proposes a config (`propose`). `rosa check` reads a configured log through its
source and contracts, in bounded memory, and says what it found (`scan`, `findings`). Neither needs Ray.
"""
