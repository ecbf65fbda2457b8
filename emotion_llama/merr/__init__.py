"""Raw video -> annotated clips: the construction of the MERR data set (the paper's section 3.1)."""
