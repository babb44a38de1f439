"""Studies: several models over several seeds on the same rows, compared with intervals."""
