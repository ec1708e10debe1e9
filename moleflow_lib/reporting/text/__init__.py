"""What the notebooks say: rows of tables, contents of result files, sentences of summaries.

Every sentence is built from the numbers of the run it stands in, weak results included.
"""
