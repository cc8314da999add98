"""
How fast a node is, beside a bare Twisted server and a program of one thread per connection.

``python -m benchmarks`` runs them side by side and prints one table. Linux only: it reads
``/proc``, waits with epoll and uses every address of ``127.0.0.0/8``.

``servers`` starts and stops what is measured, ``load`` is what presses on it, ``sink`` is what it
sends to, ``measures`` holds one function for each group of rows and ``report`` prints the table.
"""
