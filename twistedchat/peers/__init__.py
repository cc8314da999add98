"""
The network: connections in and out, and who is at their other ends.
"""
