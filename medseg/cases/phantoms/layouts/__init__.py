"""Phantoms of data-set layouts, one file a layout: the folders, names and file types of a download, drawn bodies."""
