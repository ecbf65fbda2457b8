"""What the model card of a preset reports, one module a part; `tools/measure_mini.py` runs them."""
