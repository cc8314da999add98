"""
What outlives a process: files, and only here.
"""
