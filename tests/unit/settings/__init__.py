"""Every setting that a person may write, a recognisable value for it, and where its last reader finds that value."""
