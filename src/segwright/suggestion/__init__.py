"""Suggestions: a complete recipe from the statistics of a dataset and the speed of a machine.

facts.py           what the rules need to know of the data: sizes, classes, objects
machine.py         what they need to know of the machine: device, memory, pretrained weights, seconds per step
candidates.py      networks and crop sizes to choose from, the best first
settings.py        ``suggest``: the rules for batch, training length, input, sampling, optimizer
views.py           the rules for crops, colors and pasted classes
objects.py         the rules for targets, loss and decoder
commented_yaml.py  a recipe as YAML with a comment per choice
"""
