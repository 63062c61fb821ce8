"""The decisions of a store, the same for every backend."""
