"""The command line: one function per verb. Slow imports are inside the function that needs them, so help is fast.

main.py     entry point, exit codes, and the verbs demo, train, evaluate, predict, report, convert, recipe
data.py     the verbs under ``segwright data``
score.py    the verbs under ``segwright score``
options.py  options that several verbs share
tables.py   tables of numbers on the console
"""
