"""Files, bytes and processes: private files, encodings, limits of processor time, running, printed pages, counts."""
