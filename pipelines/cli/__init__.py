"""The command `millrace`: arguments go in; results on stdout, progress on stderr and an exit code come out.

Read main.py first, where all verbs come together; then the verbs by what they are about: init.py, tasks.py,
data.py, runs.py, past_runs.py, models.py, evaluate.py, cluster.py and demo.py. Each option is declared once,
in options.py, with what the shell proposes for it in completion.py; tables.py, run_tables.py and
task_tables.py show results, which layout.py fits to the terminal.
"""
