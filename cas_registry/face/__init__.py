"""The face: `Registry` and `Model` hold the parts together and delegate; they decide nothing.

A verb is imported when it is called: what a short one waits for longest is the code of the others.
"""
