"""Importer for PyTorch: exported programs, TorchScript, and factories with weights."""
