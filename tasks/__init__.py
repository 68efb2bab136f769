"""One module for each noun that a run leaves behind; the packages below know nothing of Prefect."""
