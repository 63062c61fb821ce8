"""Files, bytes and processes: private files, encodings, limits of processor time, pages that are printed."""
