"""Engines on processors that this machine does not have: emulated, or with newer instruction sets masked."""
