"""Raw data of the tasks: a task's name and a folder go in, the files that its source reads come out.

They are downloaded and checked against the digests they were published with, or made from what is
installed, without a network. Read catalog.py first, which has all of them by task; then downloads.py with
glue.py and squad.py, where they were published, and one made_*.py, which makes files of the same form;
demo.py puts the digits to use.
"""
