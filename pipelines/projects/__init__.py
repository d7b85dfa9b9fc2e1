"""A user's own data to a small project with a task: what `millrace init` writes.

`tables.py` looks at labelled texts, `images.py` at images in folders, `idx.py` at those in idx files and
`volumes.py` at scans, and each says what is to be written about them; `writing.py` fills the templates, which
are a folder for what all projects have, and one a kind.
"""
