"""What the operating system gives and takes: limits of processor time, files that only their owner may read."""
