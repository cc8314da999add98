"""
Ways to find each other. What they find is a hint where to dial, and never a proof of anything.
"""
