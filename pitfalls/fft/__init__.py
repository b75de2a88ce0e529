"""Fourier transforms, short-time spectra and window functions."""
