"""
Ways to use a node. They see it only through `twistedchat.interfaces.INode`.
"""
