"""The command line: one verb, one function. Everything heavy is imported inside the function that needs it.

main.py     entry point, exit codes, and the verbs demo, train, evaluate, predict, report, convert, recipe
data.py     the verbs under ``segwright data``
score.py    the verbs under ``segwright score``
options.py  options that several verbs share
tables.py   tables of numbers on the console
"""
