"""Figures of a network: parameters, FLOPs, memory, speed, and what its file says.

- ``info``: ``model_info`` of a run, a model file or a recipe: cost, preprocessing, classes, origin, training
- ``exported_info``: ``exported_info`` of an ONNX, OpenVINO or torch.export file
- ``cost``: ``model_cost``, the parameters, FLOPs and memory of a network
- ``speed``: ``benchmark``, speed, latency and memory of predictions; ``largest_batch``
"""
