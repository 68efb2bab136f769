"""Claims about tasks.dataset, a file for each of its modules."""
