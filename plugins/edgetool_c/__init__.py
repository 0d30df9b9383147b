"""Microcontrollers: small networks as plain C with static buffers, tested where they will run."""
