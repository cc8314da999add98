"""
The tests of twistedchat, one module for each module of the package.
"""
