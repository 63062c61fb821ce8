"""Files, bytes and processes: private files, encodings, limits of processor time, running, pages that are printed."""
