"""What `make_mini_data.py` is made of: encoded items, examples put together from them, tables."""
