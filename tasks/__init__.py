"""One file for each stage. The packages spintax, dataset, modeling, evaluation and storage know nothing of Prefect."""
