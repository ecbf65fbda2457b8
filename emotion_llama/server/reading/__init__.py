"""Files of strangers -> clips, in processes that may crash, hang or grow alone."""
