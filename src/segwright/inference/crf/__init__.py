"""The dense CRF: class probabilities refined by the colors of the image.

- ``dense_crf``: ``DenseCRF``: probabilities and an image in, probabilities out
- ``pair_blocks``: Gaussian filtering by the weights of nearby pairs, for small images
- ``near_pairs``: that of larger ones: pairs within reach where they are few, the lattice elsewhere
- ``permutohedral_lattice``: fast Gaussian filtering in five dimensions
"""
