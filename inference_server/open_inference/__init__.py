"""The Open Inference Protocol (KServe's V2) over the models that are served, for clients that speak it already.

Inputs are `picture`, files, or `indices`, which an encoder made at an operating point, the request's parameter `point`.
Outputs are `output`, the decoder's tensor as the task reads it, and `answer`, the same as JSON.
"""
