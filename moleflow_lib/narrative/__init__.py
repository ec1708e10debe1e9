"""What the notebooks say, one file a notebook: rows of tables, contents of result files, sentences of summaries.

Every sentence is built from the numbers of the run it stands in, weak results included.
"""
