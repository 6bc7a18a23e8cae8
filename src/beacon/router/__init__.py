"""The router: picks a provider inside one (model, region), keeps its limits, and carries deadlines.

It knows no job. Whatever it does, an inference is served by a provider of exactly its model and region.
"""
