"""Segmentation without networks: arrays in, arrays out."""
