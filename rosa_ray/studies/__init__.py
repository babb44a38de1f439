"""Studies: trials side by side on a cluster, compared with intervals or searched for the best."""
