"""Architectures, by family: `base.py` has what they share, `table.py` finds them by the name in `config.json`."""
