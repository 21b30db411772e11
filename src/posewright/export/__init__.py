"""From a checkpoint to the files that run elsewhere."""
