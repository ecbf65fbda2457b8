"""What `train_mini_encoders.py` is made of: one module per role, the data and the loop."""
