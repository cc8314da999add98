"""
A deterministic simulation of many nodes.
"""
