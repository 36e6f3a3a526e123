"""The command line: one function per verb. Slow imports are inside the function that needs them, so help is fast.

main.py          entry point, exit codes, and the verb demo
train.py         the verb train
evaluate.py      the verb evaluate
predict.py       the verb predict
serve.py         the verb serve
export.py        the verb export
models.py        the verb models
recipe.py        the verbs under ``segwright recipe``
recipe_list.py   the text of ``segwright recipe list``
info.py          the verb info
info_rows.py     what it prints
bench.py         the verb bench
report.py        the verb report
doctor.py        the verb doctor
average.py       the verb average
convert.py       the verb convert
data.py          the other verbs under ``segwright data``: check, stats, show
data_get.py      the verb ``segwright data get``
data_split.py    the verb ``segwright data split``
data_convert.py  the verb ``segwright data convert``
named_data.py    the dataset or format that a word names
suggest.py       the verb ``segwright recipe suggest``
score.py         the verbs under ``segwright score``
score_tables.py  their tables
inference.py     options that say how a model is run: --scales, --flip, ...
crf.py           the options --crf and --crf-search, and what the latter prints
ensembles.py     several models on the command line
video.py         options and the loop for videos and cameras
speed.py         options that make a model faster: --fast, --compile
options.py       other options that several verbs share
progress.py      a progress bar
tables.py        tables of numbers on the console
"""
