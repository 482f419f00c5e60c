"""Methods compared on the same cases, from the files of their run folders."""
