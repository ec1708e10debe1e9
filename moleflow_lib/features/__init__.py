"""Frozen backbones: images in, patch features out, each extracted once."""
