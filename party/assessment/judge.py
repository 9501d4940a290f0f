"""The judge: holds the truth of rows that were not leaked and answers with scores only. An attack never gets the truth."""
