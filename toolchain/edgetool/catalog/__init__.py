"""The catalogue of boards: one TOML file a vendor, a source for every value. `config/boards.py` reads it."""
